"""What predictors share: frames at even times, and a curve that says nothing.

Shapes: N frames as they are shown, G even times, D numbers of each, F values of a curve.
"""

from __future__ import annotations

import math

import numpy as np

from v2a_core.protocols import CURVE_HZ, AnyFloats, Curve, Floats

_EPSILON = 1e-6


def curve_frames(length_s: float) -> int:
    """Values of the curve of a segment."""
    return max(1, math.ceil(length_s * CURVE_HZ - _EPSILON))


def grid_frames(length_s: float, rate: float) -> int:
    """How many even times a segment has: 0, 1 / rate, 2 / rate, ... seconds from its beginning."""
    return max(1, math.ceil(length_s * rate - _EPSILON))


def on_grid(times_s_N: Floats, values_ND: AnyFloats, rate: float, length_s: float) -> Floats:
    """Values at the even times, float32 (G, D): straight lines between the frames that were shown.

    Args:
        times_s_N: When the frames are shown, ascending, seconds from the beginning of the segment.
        values_ND: What belongs to each.
        rate: Even times a second.
        length_s: Of the segment.
    """
    times_G = np.arange(grid_frames(length_s, rate)) / rate
    place_G = np.clip(np.searchsorted(times_s_N, times_G, side="right"), 1, max(1, len(times_s_N) - 1))
    before_G, after_G = place_G - 1, np.minimum(place_G, len(times_s_N) - 1)
    step_G = np.maximum(times_s_N[after_G] - times_s_N[before_G], _EPSILON)
    share_G1 = np.clip((times_G - times_s_N[before_G]) / step_G, 0, 1)[:, None]
    values = np.asarray(values_ND, np.float32)
    found: Floats = (values[before_G] * (1 - share_G1) + values[after_G] * share_G1).astype(np.float32)
    return found


def nothing(frames: int) -> Curve:
    """A curve of which nothing is followed."""
    zeros_F = np.zeros(frames, np.float32)
    return Curve(zeros_F, zeros_F, zeros_F)
