"""Just meaningful differences (JMD): how far systems are from ours, in steps that a listener would mean.

A system's value is (m_i - m_ours) / unit. The unit is ln 3 unless another is set: with it, one step is a preference of
75 % where there are no ties, half way between guessing and certainty. How the paper's unit was chosen is not published,
so this one is ours.

Shapes: L listeners, I items, S systems, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from v2a_core.listening import adjacent, cumulative, recode, resampling
from v2a_core.listening.recode import Floats, Ratings

UNIT = math.log(3)


class Differences(NamedTuple):
    """Systems against ours, in steps.

    Attributes:
        values_S: From the cumulative-logit model; ours has 0.
        low_S, high_S: Interval over listeners and items.
        check_S: The same from the adjacent-categories model, whose scale is another.
        agrees: Whether the check has the same sign wherever the interval excludes 0.
        scale_S: The cumulative-logit model's own values, in logits, with mean 0 over the systems.
        scale_low_S, scale_high_S: Their interval over listeners and items.
    """

    values_S: Floats
    low_S: Floats
    high_S: Floats
    check_S: Floats
    agrees: bool
    scale_S: Floats
    scale_low_S: Floats
    scale_high_S: Floats


def just_meaningful_differences(
    ratings_LIS: Ratings,
    ours: int,
    *,
    points: int = 5,
    graded: bool = False,
    unit: float = UNIT,
    resamples: int = resampling.RESAMPLES,
    confidence: float = 0.95,
    seed: int = 0,
) -> Differences:
    """Fit, refit on resampled listeners and items, and check.

    Args:
        ratings_LIS: On whole points, NaN where a listener did not rate.
        ours: Number of the system that the others are compared with.
        points: Of the rating scale.
        graded: Use how many points ratings differ, not only which is higher.
        unit: Of the result, in logits.
        resamples: Of the interval.
        confidence: Of the interval.
        seed: Of the resamples.

    Raises:
        ValueError: For ratings that are not of listeners, items and systems.
    """
    systems, largest = ratings_LIS.shape[-1], points - 1 if graded else 1
    said = recode.indicators(recode.compare(ratings_LIS, graded=graded), largest)
    return from_comparisons(said, systems, ours, unit=unit, resamples=resamples, confidence=confidence, seed=seed)


def from_comparisons(
    indicators_LIPC: Floats,
    systems: int,
    ours: int,
    *,
    unit: float = UNIT,
    resamples: int = resampling.RESAMPLES,
    confidence: float = 0.95,
    seed: int = 0,
) -> Differences:
    """As `just_meaningful_differences`, from comparisons as `recode.indicators` has them."""
    if not 0 <= ours < systems or not unit > 0:
        raise ValueError(f"there is no system {ours} of {systems}, or the unit {unit} is not positive")
    pairs_P2 = recode.pairs_of(systems)
    counts_1PC = recode.count(indicators_LIPC)
    weights = resampling.resample(indicators_LIPC.shape[0], indicators_LIPC.shape[1], resamples, seed)
    counts_RPC = recode.count(indicators_LIPC, *weights)
    fitted = (
        cumulative.fit(counts_1PC, pairs_P2, systems),
        cumulative.fit(counts_RPC, pairs_P2, systems),
        adjacent.fit(counts_1PC, pairs_P2, systems),
    )
    best, others, check = (_against(scale.values_RS, ours) / unit for scale in fitted)
    low_S, high_S = resampling.interval(others, confidence)
    scale_low_S, scale_high_S = resampling.interval(fitted[1].values_RS, confidence)
    sure_S = (low_S > 0) | (high_S < 0)
    agrees = bool((np.sign(check[0]) == np.sign(best[0]))[sure_S].all())
    return Differences(best[0], low_S, high_S, check[0], agrees, fitted[0].values_RS[0], scale_low_S, scale_high_S)


def preference(differences: Sequence[float] | Floats, unit: float = UNIT) -> Floats:
    """Share of listeners who prefer the first of two systems that are so many steps apart, without ties."""
    shares: Floats = 1 / (1 + np.exp(-unit * np.asarray(differences, np.float64)))
    return shares


def _against(values_RS: Floats, ours: int) -> Floats:
    against: Floats = values_RS - values_RS[:, [ours]]
    return against
