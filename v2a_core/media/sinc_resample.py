"""Resampling with a windowed sinc, as torchaudio's `resample` does with its defaults.

    y(t) = sum_i x[i] h(i - t),  h(u) = c sinc(c u) cos^2(pi c u / (2 L)) for |c u| < L, else 0

with time in samples of the input, c = rolloff * min(1, new_rate / sample_rate), L = 6 zero crossings, rolloff = 0.99.
Networks that judge sounds were trained and are compared on sounds resampled like this; another resampler (soxr) differs
by up to 2 dB just below the new Nyquist frequency.

Source: J. O. Smith, Digital Audio Resampling, https://ccrma.stanford.edu/~jos/resample/; the constants are those of
torchaudio.functional.resample.

Shapes: T samples, P phases of the output against the input, K taps of the filter.
"""

from __future__ import annotations

import functools
import math
from typing import TypeVar

import numpy as np
import numpy.typing as npt

ZERO_CROSSINGS = 6
ROLLOFF = 0.99

FloatT = TypeVar("FloatT", np.float32, np.float64)


def sinc_resample(waveform_T: npt.NDArray[FloatT], sample_rate: int, new_rate: int) -> npt.NDArray[FloatT]:
    """Change the sampling rate.

    Args:
        waveform_T: Float32 or float64, one channel.
        sample_rate: Its rate, Hz.
        new_rate: The wanted rate, Hz.

    Returns:
        Of the same dtype, ceil(T * new_rate / sample_rate) samples; computed in float64.

    Raises:
        ValueError: For rates that are not positive, and for what is not one channel of floats.
    """
    if sample_rate < 1 or new_rate < 1:
        raise ValueError(f"cannot resample from {sample_rate} Hz to {new_rate} Hz: rates are positive whole numbers")
    if waveform_T.ndim != 1 or not np.issubdtype(waveform_T.dtype, np.floating):
        raise ValueError(f"give one channel of floats (T,), not {waveform_T.dtype} of shape {waveform_T.shape}")
    if sample_rate == new_rate or not len(waveform_T):
        return waveform_T
    common = math.gcd(sample_rate, new_rate)
    old, new = sample_rate // common, new_rate // common
    first_P, filters_PK = _filters(old, new)
    taps = filters_PK.shape[1]
    samples = -(-len(waveform_T) * new // old)
    # The filter of the last output may reach beyond the end, that of the first before the beginning.
    before = max(0, -int(first_P.min()))
    padded = np.pad(waveform_T.astype(np.float64), (before, taps + old))
    windows = np.lib.stride_tricks.sliding_window_view(padded, taps)
    resampled_T = np.empty(samples, waveform_T.dtype)
    for phase in range(min(new, samples)):
        turns = -(-(samples - phase) // new)
        start = before + first_P[phase]
        resampled_T[phase::new] = windows[start : start + turns * old : old] @ filters_PK[phase]
    return resampled_T


@functools.lru_cache(maxsize=16)
def _filters(old: int, new: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """For each phase of the output the first input sample that counts, int64 (P,), and its filter (P, K)."""
    cutoff = ROLLOFF * min(1.0, new / old)
    reach = math.ceil(ZERO_CROSSINGS / cutoff)
    at_P = np.arange(new) * (old / new)
    first_P = np.floor(at_P).astype(np.int64) - reach
    angle_PK = cutoff * (first_P[:, None] + np.arange(2 * reach + 2) - at_P[:, None])
    window_PK = np.cos(np.clip(angle_PK / ZERO_CROSSINGS, -1, 1) * (math.pi / 2)) ** 2
    filters_PK: npt.NDArray[np.float64] = cutoff * np.sinc(angle_PK) * window_PK
    return first_P, filters_PK
