"""Formats of sound files, by name, which is also the suffix of the file.

A new one is a file with an `AudioFormat` that registers itself, and a line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from v2a_core.media.types import Pcm
from v2a_core.registry import Registry


class AudioFormat(Protocol):
    """Sound as a file, written with one channel; container, codec and how it is coded are its own."""

    def write(self, path: Path, waveform: npt.NDArray[np.float32], sample_rate: int, tags: Mapping[str, str]) -> None:
        """Write a file.

        Args:
            path: Where to.
            waveform: Float32 (T,), T >= 1, finite, -1..1.
            sample_rate: Its rate, Hz.
            tags: Metadata: `encoder` and `comment`, as far as the format can hold them.

        Raises:
            MediaError: When it cannot be written.
        """

    def read(self, path: Path) -> Pcm:
        """Every channel, at the file's own rate.

        Raises:
            MediaError: When it cannot be read.
        """


AUDIO_FORMATS: Registry[AudioFormat] = Registry(
    "audio format",
    "v2a.audio_formats",
    {
        "wav": "v2a_core.media.sndfile",
        "flac": "v2a_core.media.sndfile",
        "m4a": "v2a_core.media.m4a",
        "ogg": "v2a_core.media.sndfile",
    },
)
