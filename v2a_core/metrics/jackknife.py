"""Intervals from leaving out groups of sources: for metrics of whole sets, and for differences of two systems.

Rows of one source (patches of a sound, segments of a video) depend on each other; all of them are in one group, by a
hash of the source, so the groups are nearly independent. With theta_g the metric without group g and their mean m,

    se^2 = (G - 1) / G * sum_g (theta_g - m)^2

and the interval is theta +- t(G - 1) se. A distance of two sets is biased by how few rows it is of, in the same way for
all theta_g, so that the jackknife measures its spread well where a bootstrap, which repeats rows, does not.

A number that lies between two bounds, as a share does, has Wilson's interval for as many independent rows as would have
that error: p (1 - p) / se^2. It keeps inside of the bounds, and of a share of 0 or 1, whose error is 0, it still says
how few rows that is of. Where there is one bound, the interval ends there.

Sources: B. Efron, The Jackknife, the Bootstrap and Other Resampling Plans, SIAM 1982, chapter 3; N. Dean, M. Pagano,
Evaluating Confidence Interval Methods for Binomial Proportions in Clustered Surveys, JSSAM 3 (2015).

Shapes: G groups.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from v2a_core.metrics.base import ANY, NotMeasuredError, Score, Span
from v2a_core.metrics.intervals import wilson_bounds

Floats = npt.NDArray[np.float64]

GROUPS = 20


def group_of(source: str, groups: int = GROUPS) -> int:
    """The group of a source, 0..groups-1: the same on every machine, whatever other sources there are."""
    return int.from_bytes(hashlib.sha256(source.encode()).digest()[:8], "big") % groups


def groups_of(sources: Sequence[str], groups: int = GROUPS) -> npt.NDArray[np.int64]:
    """The groups of many sources, int64 (N,)."""
    return np.array([group_of(source, groups) for source in sources], np.int64)


def jackknife(value: float, without_G: Floats, count: int, confidence: float = 0.95, span: Span = ANY) -> Score:
    """A metric with the interval that its values without each group give.

    Args:
        value: Of all rows.
        without_G: Without each group that has rows, float64.
        count: Rows.
        confidence: Of the interval.
        span: What values there can be.

    Raises:
        NotMeasuredError: For fewer than two groups.
    """
    error, quantile = standard_error(without_G), student_quantile(0.5 + confidence / 2, len(without_G) - 1)
    return Score(value, *interval(value, error, quantile, count, span), count)


def interval(value: float, error: float, quantile: float, count: int, span: Span) -> tuple[float, float]:
    """The interval of a number, inside of what values there can be.

    Args:
        value: The number.
        error: Its standard error.
        quantile: So many errors to each side.
        count: Rows.
        span: What values there can be.
    """
    least, most = min(span[0], value), max(span[1], value)  # rounding may be beyond them
    share = (value - least) / (most - least) if math.isfinite(most - least) else math.nan
    if math.isnan(share) or (error == 0 and 0 < share < 1):
        return max(least, value - quantile * error), min(most, value + quantile * error)
    size = share * (1 - share) / (error / (most - least)) ** 2 if error else float(count)
    low, high = wilson_bounds(share, max(size, 1e-9), quantile)
    return least + low * (most - least), least + high * (most - least)


def paired_difference(
    values: tuple[float, float],
    without_2G: tuple[Floats, Floats],
    count: int,
    confidence: float = 0.95,
    span: Span = ANY,
) -> Score:
    """First minus second metric of two systems on the same sources: what the sources share falls out.

    Args:
        values: Of all rows, of the first and of the second system.
        without_2G: Without each group, the same groups for both.
        count: Rows.
        confidence: Of the interval.
        span: What values each of them can have.

    Raises:
        NotMeasuredError: When the two are not of the same groups, or of fewer than two.
    """
    first, second = without_2G
    if len(first) != len(second):
        raise NotMeasuredError(
            f"a paired difference needs the same groups on both sides, not {len(first)} and {len(second)}"
        )
    found = jackknife(values[0] - values[1], first - second, count, confidence)
    most = span[1] - span[0]
    return replace(found, low=max(-most, found.low), high=min(most, found.high))


def standard_error(without_G: Floats) -> float:
    """The jackknife's standard error.

    Raises:
        NotMeasuredError: For fewer than two groups.
    """
    groups = len(without_G)
    if groups < 2:
        raise NotMeasuredError(f"a jackknife needs sources in at least two groups, not {groups}")
    deviation_G = without_G - without_G.mean()
    return math.sqrt((groups - 1) / groups * float(deviation_G @ deviation_G))


def student_quantile(probability: float, freedom: int) -> float:
    """Student's t: the value that is not exceeded with this probability, at `freedom` degrees.

    Exact for one and two degrees; above, Hill's expansion (G. W. Hill, Algorithm 396, CACM 13 (1970)), good to 1e-3 at
    three degrees and to 1e-5 from ten on.
    """
    if not 0 < probability < 1 or freedom < 1:
        raise ValueError(f"no quantile of Student's t for probability {probability} at {freedom} degrees of freedom")
    if freedom == 1:
        return math.tan(math.pi * (probability - 0.5))
    if freedom == 2:
        return (2 * probability - 1) * math.sqrt(2 / (4 * probability * (1 - probability)))
    z = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return z + math.fsum(term / math.pow(freedom, power) for power, term in enumerate(terms, start=1))
