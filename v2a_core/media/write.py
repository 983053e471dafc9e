"""Sound files of any format of the registry: what holds for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from v2a_core.media.audio_formats import AUDIO_FORMATS, AudioFormatSettings, as_it_comes
from v2a_core.media.types import MediaError, Pcm


def write_audio(
    path: Path,
    waveform: npt.NDArray[np.float32],
    sample_rate: int,
    audio_format: AudioFormatSettings,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Write one channel of sound; without loss each sample is rounded to the nearest of 16 bit.

    Args:
        path: Where to.
        waveform: Float32 (T,), -1..1.
        sample_rate: Its rate, Hz.
        audio_format: Which format, and how it codes.
        tags: Metadata: `encoder` and `comment`.

    Raises:
        MediaError: When samples are not finite, out of range, or there are none.
    """
    if waveform.ndim != 1 or not len(waveform):
        raise MediaError("write", "Empty", f"a waveform of shape {waveform.shape} cannot be written; expected (T,)")
    if not np.isfinite(waveform).all():
        raise MediaError("write", "NotFinite", "the waveform holds NaN or infinite samples")
    peak = float(max(waveform.max(), -waveform.min()))
    if peak > 1.0:
        raise MediaError("write", "Clipped", f"the highest sample is {peak:.3f}; full scale is 1")
    AUDIO_FORMATS[audio_format.kind].component(audio_format).write(path, waveform, sample_rate, tags or {})


def read_audio(path: Path) -> tuple[npt.NDArray[np.float32], int]:
    """The first channel of an audio file, float32 (T,), and its sampling rate, Hz; see `read_pcm`."""
    pcm = read_pcm(path)
    return pcm.first_channel, pcm.sample_rate


def read_pcm(path: Path) -> Pcm:
    """An audio file as it is: every channel, its own rate.

    A suffix that is no format of ours is left to libsndfile, which tells formats by their contents.

    Raises:
        MediaError: When it cannot be read.
    """
    name = path.suffix.lower().removeprefix(".")
    name = name if name in AUDIO_FORMATS.names() else "wav"
    return AUDIO_FORMATS[name].component(as_it_comes(name)).read(path)
