"""`v2a evaluate`: soundtracks and references to metrics.

Its settings, its chain of stages and its tables of results; what is measured lies in `v2a_core.metrics`.
"""
