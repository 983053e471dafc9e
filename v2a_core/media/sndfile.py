"""Sound files that libsndfile codes: 16-bit WAV and FLAC, Vorbis in OGG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import soundfile

from v2a_core.config import setting
from v2a_core.media.audio_formats import AUDIO_FORMATS, AudioFormatSettings
from v2a_core.media.types import MediaError, Pcm

_FULL_SCALE = 32767
_TAGS = {"comment": "comment", "encoder": "software"}  # ours -> libsndfile's
# libsndfile's Vorbis encoder keeps what it is given at once on the stack.
_BLOCK = 2**14


class WavSettings(AudioFormatSettings):
    """WAV."""

    kind: Literal["wav"] = setting(
        "wav", "format of the soundtrack files, which is also their suffix: 16 bit; m4a: AAC, ogg: Vorbis"
    )


class FlacSettings(AudioFormatSettings):
    """FLAC."""

    kind: Literal["flac"] = setting("flac", "16 bit, smaller without loss")
    effort: int = setting(5, "more searches longer for a smaller file; the sound is the same", ge=0, le=8)


class OggSettings(AudioFormatSettings):
    """Vorbis in OGG."""

    kind: Literal["ogg"] = setting("ogg", "Vorbis")
    quality: float = setting(0.4, "of the sound; more makes a larger file", ge=0, le=1)


class SndFile:
    """One of libsndfile's formats.

    Attributes:
        container: Its name there.
        subtype: The codec; of `PCM_16` each sample is rounded to the nearest of 16 bit.
        compression: What libsndfile calls the level of compression, 0..1; None where it has none.
    """

    container: ClassVar[str]
    subtype: ClassVar[Literal["PCM_16", "VORBIS"]] = "PCM_16"
    compression: float | None = None

    def write(self, path: Path, waveform: npt.NDArray[np.float32], sample_rate: int, tags: Mapping[str, str]) -> None:
        """Write a file; see `AudioFormat`."""
        try:
            with soundfile.SoundFile(
                path, "w", sample_rate, 1, self.subtype, format=self.container, compression_level=self.compression
            ) as file:
                for name in sorted(tags.keys() & _TAGS.keys()):  # in one order: the same sound is the same file
                    setattr(file, _TAGS[name], tags[name])
                for start in range(0, len(waveform), _BLOCK):
                    block = waveform[start : start + _BLOCK]
                    if self.subtype == "PCM_16":
                        block = np.rint(block.astype(np.float64) * _FULL_SCALE).astype(np.int16)
                    file.write(block)
        except soundfile.LibsndfileError as error:
            raise MediaError("write", "LibsndfileError", f"{path.name} cannot be written: {error}") from None

    def read(self, path: Path) -> Pcm:
        """Every channel of any format that libsndfile reads; see `AudioFormat`."""
        try:
            samples_TC, rate = soundfile.read(path, dtype="float32", always_2d=True)
        except (OSError, soundfile.LibsndfileError) as error:
            message = f"{path.name} is not a readable audio file: {error}"
            raise MediaError("read", type(error).__name__, message) from None
        return Pcm(samples_TC, int(rate))


class Wav(SndFile):
    """16 bit."""

    container = "WAV"

    def __init__(self, settings: WavSettings) -> None:
        del settings  # there is nothing to set


class Flac(SndFile):
    """16 bit, smaller without loss."""

    container = "FLAC"

    def __init__(self, settings: FlacSettings) -> None:
        self.compression = settings.effort / 8


class Ogg(SndFile):
    """Vorbis."""

    container = "OGG"
    subtype = "VORBIS"

    def __init__(self, settings: OggSettings) -> None:
        self.compression = 1 - settings.quality


AUDIO_FORMATS.add("wav", Wav, WavSettings)
AUDIO_FORMATS.add("flac", Flac, FlacSettings)
AUDIO_FORMATS.add("ogg", Ogg, OggSettings)
