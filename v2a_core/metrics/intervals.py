"""Confidence intervals: Wilson's for shares, bootstrap percentiles for the rest.

Shapes: N rows, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from v2a_core.metrics.base import Score
from v2a_core.metrics.config import IntervalSettings
from v2a_core.protocols import AnyFloats

Indices = npt.NDArray[np.int64]


def wilson(successes: int, count: int, confidence: float = 0.95) -> Score:
    """A share with Wilson's score interval, which stays inside 0..1 and is sound for few rows.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).

    Raises:
        ValueError: Unless 0 <= successes <= count and count > 0.
    """
    if not 0 <= successes <= count or count < 1:
        raise ValueError(f"{successes} successes of {count} trials is no share")
    share = successes / count
    return Score(share, *wilson_bounds(share, count, NormalDist().inv_cdf(0.5 + confidence / 2)), count)


def wilson_bounds(share: float, count: float, quantile: float) -> tuple[float, float]:
    """The same of so many independent rows, which need be no whole number, `quantile` errors to each side."""
    squared = quantile * quantile
    centre = (share + squared / (2 * count)) / (1 + squared / count)
    spread = math.sqrt(share * (1 - share) / count + squared / (4 * count * count))
    reach = quantile / (1 + squared / count) * spread
    # At 0 and 1 the bound is exactly the share; rounding must not put it inside.
    return max(0.0, min(share, centre - reach)), min(1.0, max(share, centre + reach))


def mean(values_N: AnyFloats, settings: IntervalSettings, chance: float | None = None) -> Score:
    """A mean with its bootstrap interval."""
    values = np.asarray(values_N, np.float64)
    means = [values[rows].mean() for rows in resamples(len(values), settings)]
    low, high = quantiles(np.array(means), settings.confidence)
    return Score(float(values.mean()), low, high, len(values), chance)


def bootstrap(statistic: Callable[[Indices], float], count: int, settings: IntervalSettings) -> Score:
    """Any statistic of rows with its percentile interval.

    Args:
        statistic: From row numbers, int64, some of them several times, to a number; NaN where it is not defined.
        count: N.
        settings: Resamples, seed, confidence.
    """
    value = statistic(np.arange(count))
    found = np.array([statistic(rows) for rows in resamples(count, settings)])
    low, high = quantiles(found[np.isfinite(found)], settings.confidence)
    return Score(value, min(low, value), max(high, value), count)


def resamples(count: int, settings: IntervalSettings, number: int | None = None) -> Iterator[Indices]:
    """Row numbers drawn with replacement, int64 (N,), the same for the same count and seed."""
    random = np.random.default_rng([settings.seed, count])
    for _ in range(settings.resamples if number is None else number):
        yield random.integers(count, size=count)


def quantiles(values_R: AnyFloats, confidence: float) -> tuple[float, float]:
    """The middle `confidence` of some values; NaN when there are none."""
    if not len(values_R):
        return math.nan, math.nan
    low, high = np.quantile(values_R, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return float(low), float(high)
