"""Captioners: from a frame to a sentence, for the systems that go from vision to sound through text."""

from __future__ import annotations
