"""The last touch on a generated waveform: loudness, peak, fades."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from v2a_core.media.config import FinishSettings
from v2a_core.media.resample import SILENCE_PEAK
from v2a_core.media.types import MediaError

# BS.1770 measures in blocks of 0.4 s; what is shorter has no loudness, only a level.
_MIN_MEASURED_S = 0.4


@dataclass(frozen=True)
class FinishedWaveform:
    """A waveform ready to be written, and what was measured on it.

    Attributes:
        waveform: Float32 (T,), within the peak limit.
        peak_dbfs: Its highest sample.
        loudness_lufs: Its integrated loudness; of sound shorter than 0.4 s its level.
    """

    waveform: npt.NDArray[np.float32]
    peak_dbfs: float
    loudness_lufs: float


def finish_waveform(waveform: npt.NDArray[np.float32], sample_rate: int, settings: FinishSettings) -> FinishedWaveform:
    """Fade the ends, bring it to the wanted loudness, and lower it where its peak would be too high.

    Args:
        waveform: Float32 (T,).
        sample_rate: Its rate, Hz.
        settings: Loudness, peak, fades.

    Raises:
        MediaError: When it is empty, silent or not finite: no gain makes a soundtrack of that.
    """
    if waveform.ndim != 1 or not len(waveform):
        raise MediaError("finish", "Empty", f"expected a waveform (T,), got shape {waveform.shape}")
    if not np.isfinite(waveform).all():
        raise MediaError("finish", "NotFinite", "the generated waveform holds NaN or infinite samples")
    # float64: filters of the loudness meter are recursive.
    faded = _fade(waveform.astype(np.float64), round(settings.fade_s * sample_rate))
    peak = float(np.abs(faded).max())
    if peak <= SILENCE_PEAK:
        raise MediaError("finish", "Silent", "the generated waveform is silent")
    gain = 10 ** ((settings.loudness_lufs - _loudness(faded, sample_rate)) / 20)
    gain = min(gain, 10 ** (settings.peak_dbfs / 20) / peak)
    finished = (faded * gain).astype(np.float32)
    return FinishedWaveform(
        waveform=finished,
        peak_dbfs=float(20 * np.log10(np.abs(finished).max())),
        loudness_lufs=_loudness(finished.astype(np.float64), sample_rate),
    )


def _fade(waveform: npt.NDArray[np.float64], samples: int) -> npt.NDArray[np.float64]:
    """Raised-cosine fades, at most half of the waveform each."""
    samples = min(samples, len(waveform) // 2)
    if samples:
        ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(samples) + 0.5) / samples)
        waveform[:samples] *= ramp
        waveform[-samples:] *= ramp[::-1]
    return waveform


def _loudness(waveform: npt.NDArray[np.float64], sample_rate: int) -> float:
    level = float(10 * np.log10(np.mean(np.square(waveform))))
    if len(waveform) < _MIN_MEASURED_S * sample_rate:
        return level
    import pyloudnorm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "possible clipped samples" of a waveform that is not finished yet
        measured = float(pyloudnorm.Meter(sample_rate).integrated_loudness(waveform))
    return measured if np.isfinite(measured) else level  # everything below the gate
