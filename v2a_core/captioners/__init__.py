"""Captioners: from a frame to a sentence, for the systems that go from vision to sound through text.

One file each. Which frames are captioned, and what becomes of the sentences, is decided in `stages`.
"""

from __future__ import annotations
