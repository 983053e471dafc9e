"""A format of sound files of another package: NumPy's own, which is also the suffix."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from v2a_core.config import setting
from v2a_core.media.audio_formats import AUDIO_FORMATS, AudioFormatSettings
from v2a_core.media.types import MediaError, Pcm
from v2a_core.protocols import Floats


class NumpySettings(AudioFormatSettings):
    """What can be set."""

    kind: Literal["npz"] = setting("npz", "NumPy's arrays")
    compressed: bool = setting(False, "whether the file is made smaller")


class NumpyFormat:
    """The samples, float32, and the rate."""

    def __init__(self, settings: NumpySettings) -> None:
        self._save = np.savez_compressed if settings.compressed else np.savez

    def write(self, path: Path, waveform: Floats, sample_rate: int, tags: Mapping[str, str]) -> None:
        """Write a file; tags are arrays of text in it."""
        with path.open("wb") as file:
            self._save(file, samples=waveform, rate=sample_rate, **{f"tag_{name}": text for name, text in tags.items()})

    def read(self, path: Path) -> Pcm:
        """The samples and their rate."""
        try:
            with np.load(path, allow_pickle=False) as content:
                return Pcm(np.asarray(content["samples"], np.float32)[:, None], int(content["rate"]))
        except (OSError, ValueError, KeyError) as error:
            raise MediaError("read", type(error).__name__, f"{path.name} is no sound of NumPy: {error}") from None


AUDIO_FORMATS.add("npz", NumpyFormat, NumpySettings)
