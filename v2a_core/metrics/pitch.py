"""How high a sound is: spectral centroid on a logarithmic axis, and fundamental frequency where there is one.

Shapes: T samples, F frames, K frequencies, L lags, N sounds.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from v2a_core.media.resample import is_silent, resample
from v2a_core.metrics.base import Rows, Score, complete
from v2a_core.metrics.config import MetricSettings
from v2a_core.metrics.correlation import correlation

Floats = npt.NDArray[np.float64]

RATE = 16_000
WINDOW, HOP = 2048, 512
LOWEST_HZ, HIGHEST_HZ = 40.0, 2000.0  # of a fundamental
FLOOR = 1e-3  # power below this share of the loudest is noise
PERIODIC = 0.5  # least normalised autocorrelation of a frame that has a pitch
LEAST_ROWS = 3


def centroid_hz(waveform_T: npt.NDArray[np.floating[Any]], sample_rate: int) -> float | None:
    """Where the power of a sound lies: the mean of log frequency, weighted by power, in Hz; None for silence.

    Args:
        waveform_T: Float, one channel; its level does not matter.
        sample_rate: Its rate, Hz.
    """
    frames_FW = _frames(waveform_T, sample_rate)
    if frames_FW is None:
        return None
    power_K = np.square(np.abs(np.fft.rfft(frames_FW * np.hanning(WINDOW), axis=1))).mean(axis=0)
    hz_K = np.fft.rfftfreq(WINDOW, 1 / RATE)
    power_K = np.where((hz_K >= LOWEST_HZ) & (power_K >= FLOOR * power_K.max()), power_K, 0.0)
    if not power_K.any():
        return None
    return float(np.exp((power_K * np.log(np.maximum(hz_K, 1.0))).sum() / power_K.sum()))


def fundamental_hz(waveform_T: npt.NDArray[np.floating[Any]], sample_rate: int) -> float | None:
    """The median fundamental of the periodic frames, 40..2000 Hz, weighted by power; None when none is periodic.

    The period of a frame is the first large peak of its normalised autocorrelation (P. Boersma, 1993).
    """
    frames_FW = _frames(waveform_T, sample_rate)
    if frames_FW is None:
        return None
    window_W = np.hanning(WINDOW)
    correlation_FL = _autocorrelation(frames_FW * window_W) / np.maximum(_autocorrelation(window_W[None]), 1e-3)
    power_F = correlation_FL[:, 0].copy()
    loud_F = power_F > FLOOR * power_F.max()
    correlation_FL = correlation_FL[loud_F] / power_F[loud_F, None]
    first, last = int(RATE / HIGHEST_HZ), int(RATE / LOWEST_HZ)
    found = [_first_peak(row_L[: last + 2], first) for row_L in correlation_FL]
    pitches = np.array([RATE / lag if lag else np.nan for lag in found])
    return _weighted_median(pitches, power_F[loud_F])


class PitchCorrelation:
    """Correlation of the log centroids of made sounds and their references."""

    title = "Pitch correlation with the reference"
    better: Literal["higher", "lower"] = "higher"
    needs = ("pitch_hz", "reference_pitch_hz")

    def compute(self, rows: Rows, settings: MetricSettings) -> Score:
        """Pearson's correlation with a bootstrap interval."""
        made, reference = complete(rows, self.needs, LEAST_ROWS)
        return correlation(np.log(made), np.log(reference), settings)


def _frames(waveform_T: npt.NDArray[np.floating[Any]], sample_rate: int) -> Floats | None:
    """Overlapping frames at 16 kHz, float64 (F, WINDOW); None for silence."""
    low_T = resample(np.asarray(waveform_T, np.float32), sample_rate, RATE)
    if is_silent(low_T):
        return None
    padded = np.pad(low_T, (0, max(0, WINDOW - len(low_T)))).astype(np.float64)
    frames_FW: Floats = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    return frames_FW


def _autocorrelation(frames_FW: Floats) -> Floats:
    """(F, L), lags 0 and up."""
    spectrum = np.fft.rfft(frames_FW, 2 * WINDOW, axis=1)
    result: Floats = np.fft.irfft(np.square(np.abs(spectrum)), axis=1)[:, : WINDOW // 2]
    return result


def _first_peak(correlation_L: Floats, first: int) -> float | None:
    """The lag of the first peak that is nearly as high as the highest, between samples."""
    inner = correlation_L[first:-1]
    peaks = np.flatnonzero((inner > correlation_L[first - 1 : -2]) & (inner >= correlation_L[first + 1 :])) + first
    peaks = peaks[correlation_L[peaks] > PERIODIC]
    if not len(peaks):
        return None
    lag = int(peaks[np.flatnonzero(correlation_L[peaks] >= 0.9 * correlation_L[peaks].max())[0]])
    before, at, after = correlation_L[lag - 1 : lag + 2]
    bend = before - 2 * at + after
    return lag + (0.5 * (before - after) / bend if bend else 0.0)


def _weighted_median(values: Floats, weights: Floats) -> float | None:
    known = np.isfinite(values)
    if not known.any():
        return None
    order = np.argsort(values[known])
    sums = np.cumsum(weights[known][order])
    return float(values[known][order][np.searchsorted(sums, sums[-1] / 2)])
