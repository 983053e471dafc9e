"""Pictures and sound as files have them: decode in a guarded process, resample, level, mix, write, mux.

Here belongs what must know containers, codecs and samples. Where files lie is a matter of `storage`, which of them are
wanted of `catalog`, and what models make of them of the kinds of components.
"""
