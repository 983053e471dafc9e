"""Published networks that metrics measure with, each with its front end, in a file of its own.

Every file has `load(path)`, which reads a published checkpoint by its own names, strictly and as data only, and gives a
module whose `embed(waveforms, sample_rate)` takes sounds of any length and returns named float32 arrays. The networks
are written anew after the papers; names and shapes of weights are the published ones.
"""
