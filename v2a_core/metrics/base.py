"""What every metric is to the job that computes it.

Shapes: N rows, K of them with everything that a metric needs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy.typing as npt

from v2a_core.metrics.config import IntervalSettings

Array = npt.NDArray[Any]
Span = tuple[float, float]
Rows = Mapping[str, Sequence[Any]]

# What values there can be.
ANY: Span = (-math.inf, math.inf)
SHARE: Span = (0.0, 1.0)
COSINE: Span = (-1.0, 1.0)
NOT_NEGATIVE: Span = (0.0, math.inf)


class NotMeasuredError(ValueError):
    """A metric has too little to work on; the message says what is missing."""


@dataclass(frozen=True)
class Score:
    """One number with its uncertainty.

    Attributes:
        value: The metric.
        low, high: Confidence interval of `value`.
        count: Rows it was computed from.
        chance: What unrelated sounds would get, where that can be told.
        parts: The same metric on subsets, such as classes.
    """

    value: float
    low: float
    high: float
    count: int
    chance: float | None = None
    parts: Mapping[str, Score] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without what is empty or not a number."""
        numbers = {"value": self.value, "low": self.low, "high": self.high, "chance": self.chance}
        known: dict[str, Any] = {name: v for name, v in numbers.items() if v is not None and math.isfinite(v)}
        parts = {name: part.to_dict() for name, part in self.parts.items()}
        return {**known, "count": self.count} | ({"parts": parts} if parts else {})


class Metric(Protocol):
    """A metric over evaluated rows, whose columns extractors give. Registered is what makes it of its own settings."""

    @property
    def title(self) -> str:
        """What a table calls it."""

    @property
    def better(self) -> Literal["higher", "lower"]:
        """Which value is the better one."""

    @property
    def span(self) -> Span:
        """The least and the largest value that there can be: no interval goes beyond them."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns of the rows; a row that has null in one of them is left out."""

    def compute(self, rows: Rows, intervals: IntervalSettings) -> Score:
        """The score of these rows.

        Args:
            rows: Columns, as many values in each; the order of the rows does not matter.
            intervals: Seed, confidence and resamples.

        Raises:
            NotMeasuredError: When too few rows have what is needed.
        """


def complete(rows: Rows, names: Sequence[str], least: int = 1) -> list[list[Any]]:
    """The columns `names`, restricted to rows that have a value in each of them.

    Raises:
        NotMeasuredError: When fewer than `least` rows do.
    """
    columns = [rows[name] for name in names]
    kept = [row for row in zip(*columns, strict=True) if all(value is not None for value in row)]
    if len(kept) < least:
        lacking = [name for name, column in zip(names, columns, strict=True) if not any(v is not None for v in column)]
        why = f"no row has {', '.join(lacking)}" if lacking else f"{len(kept)} of {len(columns[0])} rows have all of it"
        raise NotMeasuredError(f"needs {', '.join(names)} in at least {least} rows: {why}")
    return [list(column) for column in zip(*kept, strict=True)]
