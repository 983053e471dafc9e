"""Soundtracks for silent video: the library. It knows nothing of Ray."""

__version__ = "0.1.0"
