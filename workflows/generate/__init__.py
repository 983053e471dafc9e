"""`v2a generate`: a catalog and a mapper to soundtracks.

Its settings, where its conditions come from, its chain of stages and its index; the sounds are made in
`v2a_core.generators`, the files in `v2a_core.media`.
"""
