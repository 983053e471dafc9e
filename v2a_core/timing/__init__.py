"""When things sound: curves of loudness and onsets, from a sound, from a table by hand, from pictures.

Here belongs how a `protocols.Curve` comes to be. What a generator makes of it is the generator's; how well a made sound
keeps to it is measured in `metrics`.
"""
