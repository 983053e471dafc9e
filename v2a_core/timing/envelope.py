"""From a sound, or from levels written down, to a curve.

Shapes: T samples, F values of a curve.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from v2a_core.media.resample import is_silent, resample
from v2a_core.metrics.extractors.onsets import onset_times
from v2a_core.protocols import CURVE_HZ, AnyFloats, Curve, Floats

RATE = 16_000
HOP = RATE // CURVE_HZ
MU = 255
# A level that has risen by this much within so many values begins something.
RISE, RISE_FRAMES = 0.25, 3


def compress(amplitude_F: AnyFloats) -> Floats:
    """Mu-law of amplitudes 0..1, float32 (F,): the same steps for the same ratios, down to silence."""
    compressed_F: Floats = (np.log1p(MU * np.asarray(amplitude_F, np.float64)) / math.log1p(MU)).astype(np.float32)
    return compressed_F


def envelope(waveform_T: Floats, sample_rate: int) -> Curve:
    """The curve of a sound: root mean squares of 40 ms, every 20 ms, and its onsets.

    Args:
        waveform_T: Float32, one channel.
        sample_rate: Its rate, Hz.

    Raises:
        ValueError: For silence, which has no curve.
    """
    low_T = resample(waveform_T, sample_rate, RATE)
    if is_silent(low_T):
        raise ValueError("it is silent: there is no loudness to follow")
    level_F = level(low_T)
    return Curve(level_F, onset_bumps(onset_times(low_T, RATE), len(level_F)), np.ones_like(level_F))


def level(low_T: Floats) -> Floats:
    """The level of a sound, as `Curve.level_F`, float32 (F,); zeros for silence.

    Args:
        low_T: Float32 at 16 kHz.
    """
    rms_F = _rms(low_T)
    return compress(rms_F / max(float(rms_F.max(initial=0)), 1e-9))


def keeps_to(curve: Curve, waveform_T: Floats, sample_rate: int) -> float:
    """How closely a sound keeps to a curve: the correlation of their levels, -1..1, each value by its weight.

    0 where one of them does not change, or the curve counts nowhere.

    Args:
        curve: What was followed.
        waveform_T: Float32, one channel.
        sample_rate: Its rate, Hz.
    """
    made_F = level(resample(waveform_T, sample_rate, RATE))
    fitted = curve.lasting(len(made_F))
    total = float(fitted.weight_F.sum())
    if not total:
        return 0.0
    share_F = fitted.weight_F / total
    away_2F = np.stack([values_F - (share_F * values_F).sum() for values_F in (made_F, fitted.level_F)])
    (own, both), (_, other) = (away_2F * share_F) @ away_2F.T
    return float(both / np.sqrt(own * other)) if min(own, other) > 1e-9 else 0.0


def onset_bumps(times_s: AnyFloats, frames: int) -> Floats:
    """1 at the value of each time, half of it at its neighbours, float32 (F,).

    Args:
        times_s: Seconds, in any order.
        frames: F.
    """
    onset_F = np.zeros(frames, np.float32)
    for time_s in np.asarray(times_s, np.float64):
        frame = int(time_s * CURVE_HZ + 1e-6)
        for place, height in ((frame - 1, 0.5), (frame, 1.0), (frame + 1, 0.5)):
            if 0 <= place < frames:
                onset_F[place] = max(onset_F[place], height)
    return onset_F


def onset_places(curve: Curve) -> list[tuple[float, float]]:
    """When something begins in a curve, in seconds, and how much that counts, 0 to 1; without what does not count."""
    places = np.flatnonzero((curve.onset_F > 0.75) & (curve.weight_F > 0))
    return [(float(place) / CURVE_HZ, float(curve.weight_F[place])) for place in places]


def rises(level_F: Floats) -> npt.NDArray[np.float64]:
    """Times in seconds at which a level rises: what begins, where nobody says it.

    Args:
        level_F: Float32, as `Curve.level_F`; before it there was silence.
    """
    before_F = np.concatenate([np.zeros(RISE_FRAMES, np.float32), level_F])[: len(level_F)]
    rise_F = level_F - before_F
    # The first value of each stretch that has risen enough: the rise itself lies just before its largest difference.
    above_F = rise_F >= RISE
    first_F = above_F & ~np.concatenate([[False], above_F[:-1]])
    return np.flatnonzero(first_F) / CURVE_HZ


def _rms(low_T: Floats) -> npt.NDArray[np.float64]:
    """Root mean squares around the middle of each value's 20 ms, (F,); the mean of the sound is taken out."""
    frames = math.ceil(len(low_T) / HOP)
    centred_T = low_T.astype(np.float64) - low_T.mean(dtype=np.float64)
    padded = np.pad(centred_T, (HOP // 2, frames * HOP - len(low_T) + HOP // 2))
    sums = np.concatenate([[0.0], np.cumsum(np.square(padded))])
    found: npt.NDArray[np.float64] = np.sqrt(np.maximum(0.0, sums[2 * HOP :: HOP] - sums[: -2 * HOP : HOP]) / (2 * HOP))
    return found
