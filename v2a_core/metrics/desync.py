"""DeSync: how far, in seconds, a sound seems to be from its video, as Synchformer hears it.

Synchformer says which of 21 offsets from -2 s to 2 s a pair has. It takes 14 segments; the first and the last 14 of a
video are asked, and the mean of the absolute offsets is reported, as av-benchmark does. Guessing gives 1.0476. Source:
V. Iashin et al., Synchformer, ICASSP 2024, arXiv 2401.16423.

Shapes: N pairs of a sound and a video, C = 21 offsets.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from v2a_core.metrics.base import NotMeasuredError

OFFSETS = 21
FARTHEST_S = 2.0
SEGMENTS = 14  # that are compared at once


def offset_grid() -> npt.NDArray[np.float64]:
    """The offsets in seconds, float64 (C,): -2.0, -1.8, ... 2.0."""
    return np.linspace(-FARTHEST_S, FARTHEST_S, OFFSETS)


def chance_s() -> float:
    """What guessing evenly gives, in seconds: 1.0476."""
    return float(np.abs(offset_grid()).mean())


def desync_s(
    first_NC: npt.NDArray[np.floating[Any]], last_NC: npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.float64]:
    """Absolute offset of each pair in seconds, the mean of its two ends, float64 (N,); the metric is the mean.

    Args:
        first_NC: Logits of the first 14 segments.
        last_NC: Logits of the last 14 segments, of the same pairs.

    Raises:
        NotMeasuredError: Without pairs, or when they are not of 21 offsets each.
    """
    if first_NC.shape != last_NC.shape or first_NC.ndim != 2 or first_NC.shape[1] != OFFSETS or not len(first_NC):
        raise NotMeasuredError(f"DeSync needs logits (N, {OFFSETS}) twice, not {first_NC.shape} and {last_NC.shape}")
    ends = [np.abs(offset_grid()[logits_NC.argmax(axis=1)]) for logits_NC in (first_NC, last_NC)]
    offsets: npt.NDArray[np.float64] = np.mean(ends, axis=0)
    return offsets
