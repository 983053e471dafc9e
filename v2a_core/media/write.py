"""Audio files: 16-bit WAV or FLAC."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import soundfile

from v2a_core.media.types import MediaError

_FULL_SCALE = 32767


def write_audio(
    path: Path, waveform: npt.NDArray[np.float32], sample_rate: int, audio_format: Literal["wav", "flac"]
) -> None:
    """Write one channel of sound, each sample rounded to the nearest of 16 bit.

    Args:
        path: Where to.
        waveform: Float32 (T,), -1..1.
        sample_rate: Its rate, Hz.
        audio_format: Container and codec.

    Raises:
        MediaError: When samples are not finite, out of range, or there are none.
    """
    if waveform.ndim != 1 or not len(waveform):
        raise MediaError("write", "Empty", f"a waveform of shape {waveform.shape} cannot be written; expected (T,)")
    if not np.isfinite(waveform).all():
        raise MediaError("write", "NotFinite", "the waveform holds NaN or infinite samples")
    peak = float(np.abs(waveform).max())
    if peak > 1.0:
        raise MediaError("write", "Clipped", f"the highest sample is {peak:.3f}; full scale is 1")
    samples = np.rint(waveform.astype(np.float64) * _FULL_SCALE).astype(np.int16)
    try:
        soundfile.write(path, samples, sample_rate, format=audio_format.upper(), subtype="PCM_16")
    except soundfile.LibsndfileError as error:
        raise MediaError("write", "LibsndfileError", f"{path.name} cannot be written: {error}") from None


def read_audio(path: Path) -> tuple[npt.NDArray[np.float32], int]:
    """The first channel of an audio file, float32 (T,), and its sampling rate, Hz.

    Raises:
        MediaError: When it cannot be read.
    """
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise MediaError("read", type(error).__name__, f"{path.name} is not a readable audio file: {error}") from None
    return np.ascontiguousarray(samples[:, 0]), int(rate)
