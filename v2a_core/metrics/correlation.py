"""Pearson's correlation with a bootstrap interval, also within groups.

Shapes: N rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from v2a_core.metrics.base import NotMeasuredError, Score
from v2a_core.metrics.config import IntervalSettings
from v2a_core.metrics.intervals import bootstrap
from v2a_core.protocols import AnyFloats


def pearson(first_N: AnyFloats, second_N: AnyFloats) -> float:
    """Pearson's correlation; NaN when one side does not vary."""
    first, second = first_N - np.mean(first_N), second_N - np.mean(second_N)
    norm = math.sqrt(float((first * first).sum() * (second * second).sum()))
    return max(-1.0, min(1.0, float((first * second).sum()) / norm)) if norm > 1e-12 else math.nan


def correlation(first_N: AnyFloats, second_N: AnyFloats, settings: IntervalSettings) -> Score:
    """The correlation of two columns.

    Raises:
        NotMeasuredError: When one side does not vary.
    """
    first, second = np.asarray(first_N, np.float64), np.asarray(second_N, np.float64)
    found = bootstrap(lambda rows: pearson(first[rows], second[rows]), len(first), settings)
    if math.isnan(found.value):
        raise NotMeasuredError(f"a correlation of {len(first)} rows that do not vary is not defined")
    return found


def correlation_within(
    first_N: AnyFloats, second_N: AnyFloats, groups_N: Sequence[str], settings: IntervalSettings
) -> Score:
    """The correlation that is left when each group's mean and spread are taken out, with the groups' own in `parts`.

    A group with one row, or without variation on a side, says nothing and is left out.

    Raises:
        NotMeasuredError: When no group says anything.
    """
    first, second = np.asarray(first_N, np.float64), np.asarray(second_N, np.float64)
    names = np.array(groups_N)
    kept, parts = [], {}
    for name in sorted(set(groups_N)):
        rows = np.flatnonzero(names == name)
        value = pearson(first[rows], second[rows]) if len(rows) > 1 else math.nan
        if not math.isnan(value):
            kept.append(rows)
            parts[name] = Score(value, math.nan, math.nan, len(rows))
    if not kept:
        raise NotMeasuredError(f"no group of {len(first)} rows varies on both sides")
    firsts = np.concatenate([_standard(first[rows]) for rows in kept])
    seconds = np.concatenate([_standard(second[rows]) for rows in kept])
    whole = correlation(firsts, seconds, settings)
    return Score(whole.value, whole.low, whole.high, whole.count, parts=parts)


def _standard(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    standard: npt.NDArray[np.float64] = (values - values.mean()) / values.std()
    return standard
