"""Mean opinion scores (MOS), with every spread by its name: "4.1 +- 0.4" means nothing without it.

Shapes: L listeners, I items, S systems, R resamples.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from v2a_core.listening import resampling
from v2a_core.listening.recode import Floats, Ratings


class OpinionScore(NamedTuple):
    """What was said about one system.

    Attributes:
        mean: Of all ratings.
        rating_deviation: Standard deviation of the ratings.
        listener_deviation: Standard deviation of the listeners' means.
        item_deviation: Standard deviation of the items' means.
        low, high: Interval of the mean over listeners and items.
        ratings: How many.
    """

    mean: float
    rating_deviation: float
    listener_deviation: float
    item_deviation: float
    low: float
    high: float
    ratings: int


def opinion_scores(
    ratings_LIS: Ratings, *, resamples: int = resampling.RESAMPLES, confidence: float = 0.95, seed: int = 0
) -> list[OpinionScore]:
    """The score of each system; deviations are those of samples (divided by N - 1).

    Args:
        ratings_LIS: NaN where a listener did not rate.
        resamples: Of the interval.
        confidence: Of the interval.
        seed: Of the resamples.

    Raises:
        ValueError: For another shape, and a system that nobody rated.
    """
    if ratings_LIS.ndim != 3:
        raise ValueError(f"ratings are of listeners, items and systems, not of shape {ratings_LIS.shape}")
    known_LIS = np.isfinite(ratings_LIS)
    if not known_LIS.any(axis=(0, 1)).all():
        raise ValueError(f"nobody rated the systems {np.flatnonzero(~known_LIS.any(axis=(0, 1))).tolist()}")
    by_listener, by_item = resampling.resample(ratings_LIS.shape[0], ratings_LIS.shape[1], resamples, seed)
    sums_RS, counts_RS = (
        np.einsum("rl,lis,ri->rs", by_listener, part, by_item, optimize=True)
        for part in (np.where(known_LIS, ratings_LIS, 0.0), known_LIS.astype(np.float64))
    )
    with np.errstate(invalid="ignore"):
        means_RS = sums_RS / counts_RS
    scores = []
    for system in range(ratings_LIS.shape[2]):
        found_R = means_RS[np.isfinite(means_RS[:, system]), system]
        low, high = resampling.interval(found_R[:, None], confidence)[:, 0]
        scores.append(_score(np.asarray(ratings_LIS[..., system], np.float64), float(low), float(high)))
    return scores


def _score(ratings_LI: Floats, low: float, high: float) -> OpinionScore:
    known = ratings_LI[np.isfinite(ratings_LI)]
    by_listener, by_item = _means(ratings_LI), _means(ratings_LI.T)
    return OpinionScore(
        float(known.mean()), _deviation(known), _deviation(by_listener), _deviation(by_item), low, high, len(known)
    )


def _means(ratings: Floats) -> Floats:
    """The mean of each row that has a rating."""
    known = np.isfinite(ratings)
    rows = known.any(axis=1)
    means: Floats = np.where(known, ratings, 0.0).sum(axis=1)[rows] / known.sum(axis=1)[rows]
    return means


def _deviation(values: Floats) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")
