"""Formats of sound files, by name, which is also the suffix of the file.

A new one is a file with an `AudioFormat` that registers itself, with its settings, and a line here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from v2a_core.config import Settings
from v2a_core.media.types import Pcm
from v2a_core.registry import Registry


class AudioFormatSettings(Settings):
    """Base of the settings of formats.

    A class of its own has `kind: Literal["its-name"] = setting("its-name", ...)`, and how its files are coded.
    """

    kind: str


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


# A component is called with its settings.
AUDIO_FORMATS: Registry[Callable[..., AudioFormat]] = Registry(
    "audio format",
    "v2a.audio_formats",
    {
        "wav": "v2a_core.media.sndfile",
        "flac": "v2a_core.media.sndfile",
        "m4a": "v2a_core.media.m4a",
        "ogg": "v2a_core.media.sndfile",
    },
)


def as_it_comes(name: str) -> AudioFormatSettings:
    """A format with the defaults of its settings.

    Raises:
        ConfigError: For an unknown name.
    """
    return cast(AudioFormatSettings, AUDIO_FORMATS.settings(name)())
