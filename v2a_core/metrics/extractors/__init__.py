"""What metrics measure with: a network and its front end each, from waveforms to numbers, loaded only when asked for.

What is computed from these numbers is a metric, and belongs beside this folder.
"""
