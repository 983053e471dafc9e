"""Paired comparisons: how often one of two systems was rated higher than the other, and by how much.

Shapes: L listeners, I items, S systems, P pairs, R resamples.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from v2a_core.listening import recode, resampling
from v2a_core.listening.recode import Floats, Ratings


class Pair(NamedTuple):
    """Two systems, as one listener after the other rated them on one item after the other.

    Attributes:
        first, second: Numbers of the systems.
        won: How often the first was rated higher.
        tied: How often alike.
        lost: How often lower.
        difference: Mean difference of the ratings, first minus second, in points; NaN where they were never compared.
        low, high: Its interval over listeners and items.
    """

    first: int
    second: int
    won: int
    tied: int
    lost: int
    difference: float
    low: float
    high: float

    @property
    def preference(self) -> float:
        """Share of comparisons that the first one won, a tie as half of one; NaN without any."""
        total = self.won + self.tied + self.lost
        return (self.won + self.tied / 2) / total if total else float("nan")


def compare_pairs(
    ratings_LIS: Ratings, *, resamples: int = resampling.RESAMPLES, confidence: float = 0.95, seed: int = 0
) -> list[Pair]:
    """Every pair of systems.

    Args:
        ratings_LIS: On whole points, NaN where a listener did not rate.
        resamples: Of the interval.
        confidence: Of the interval.
        seed: Of the resamples.

    Raises:
        ValueError: For another shape, and ratings that are not whole.
    """
    difference_LIP = recode.compare(ratings_LIS, graded=True)
    known_LIP = np.isfinite(difference_LIP)
    listeners, items, _ = difference_LIP.shape
    by_listener, by_item = resampling.resample(listeners, items, resamples, seed)
    sums_RP, counts_RP = (
        np.einsum("rl,lip,ri->rp", by_listener, part, by_item, optimize=True)
        for part in (np.where(known_LIP, difference_LIP, 0.0), known_LIP.astype(np.float64))
    )
    with np.errstate(invalid="ignore"):
        means_RP = sums_RP / counts_RP
    pairs = recode.pairs_of(ratings_LIS.shape[2])
    return [
        _pair(first, second, difference_LIP[..., place], means_RP[:, place], confidence)
        for place, (first, second) in enumerate(pairs.tolist())
    ]


def _pair(first: int, second: int, difference_LI: Floats, means_R: Floats, confidence: float) -> Pair:
    found = difference_LI[np.isfinite(difference_LI)]
    low, high = resampling.interval(means_R[np.isfinite(means_R)][:, None], confidence)[:, 0]
    mean = float(found.mean()) if len(found) else float("nan")
    counts = (int((found > 0).sum()), int((found == 0).sum()), int((found < 0).sum()))
    return Pair(first, second, *counts, mean, float(low), float(high))
