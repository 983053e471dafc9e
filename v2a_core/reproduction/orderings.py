"""The orderings that the paper found, and whether ours are the same: decided by paired differences, never by values.

An ordering is the rows of a table, sorted by the paper's numbers of a column. Every two neighbours are a pair, and of
each pair the difference of ours has an interval over the sources that both systems have in common:

- held: all of the interval lies on the paper's side of zero;
- not held: all of it lies on the other side;
- overlapping: zero is in it, the data do not tell the two apart.

An ordering is held when all of its pairs are, not held when one is not, else overlapping. Nothing is chosen for an
ordering to hold: the columns and rows are the paper's, and so are their numbers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from v2a_core.metrics.base import Score
from v2a_core.protocols import JSON
from v2a_core.reproduction.comparison import Comparison
from v2a_core.reproduction.paper import REFERENCE, Column, Row, Table

Verdict = Literal["held", "not held", "overlapping", "without interval"]
HELD: Final = "held"
NOT_HELD: Final = "not held"
OVERLAPPING: Final = "overlapping"
UNKNOWN: Final = "without interval"


@dataclass(frozen=True)
class Pair:
    """Two neighbours of an ordering.

    Attributes:
        first: The paper's better one.
        second: The other.
        difference: Ours, the first minus the second.
        verdict: Whether it has the paper's sign.
    """

    first: str
    second: str
    difference: Score
    verdict: Verdict


@dataclass(frozen=True)
class Ordering:
    """An ordering of the paper and what became of it.

    Attributes:
        table: Number of the table.
        column: By what it is sorted.
        metric: Title of what measured it here.
        rows: Names in the paper's order, the best first.
        pairs: The neighbours.
        untrained: Rows of it whose models are stand-ins with untrained weights.
    """

    table: int
    column: Column
    metric: str
    rows: tuple[str, ...]
    pairs: tuple[Pair, ...]
    untrained: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Of all pairs together."""
        found = {pair.verdict for pair in self.pairs}
        worst: tuple[Verdict, ...] = (NOT_HELD, UNKNOWN, OVERLAPPING)
        return next((item for item in worst if item in found), HELD)

    def to_dict(self) -> dict[str, JSON]:
        """Plain data for JSON."""
        return {
            "table": self.table,
            "column": self.column.name,
            "metric": self.metric,
            "rows": list(self.rows),
            "verdict": self.verdict,
            "untrained": list(self.untrained),
            "pairs": [
                {"first": p.first, "second": p.second, "verdict": p.verdict, "difference": p.difference.to_dict()}
                for p in self.pairs
            ],
        }


def verdict(difference: Score, better: Literal["higher", "lower"]) -> Verdict:
    """Whether the first of a pair is better for certain, worse for certain, or neither.

    Args:
        difference: The first minus the second.
        better: Which values are better.
    """
    if not (math.isfinite(difference.low) and math.isfinite(difference.high)):
        return UNKNOWN
    low, high = (difference.low, difference.high) if better == "higher" else (-difference.high, -difference.low)
    if low > 0:
        return HELD
    return NOT_HELD if high < 0 else OVERLAPPING


def in_order(table: Table, column: Column, among: Collection[str]) -> tuple[Row, ...]:
    """The rows of a table with a number of the paper in a column, its best first; the real sounds are no system.

    Args:
        table: Of the paper.
        column: By what it is sorted.
        among: Names of the rows that count.
    """
    rows = [row for row in table.rows if row.name in among and row.name != REFERENCE and column.name in row.paper]
    return tuple(sorted(rows, key=lambda row: row.paper[column.name], reverse=column.better == "higher"))


def wanted_pairs(tables: Sequence[Table], among: Collection[str]) -> tuple[tuple[str, str], ...]:
    """The pairs whose differences the orderings of these tables need, each once."""
    found: dict[tuple[str, str], None] = {}
    for table in tables:
        for column in (column for column in table.columns if column.metrics):
            found |= dict.fromkeys(_neighbours(in_order(table, column, among), column))
    return tuple(found)


def orderings_of(table: Table, column: Column, comparison: Comparison, untrained: Collection[str]) -> Ordering | None:
    """What became of the ordering of a column; None where fewer than two of its rows were measured.

    Args:
        table: Of the paper.
        column: By what it is sorted.
        comparison: Of our systems.
        untrained: Rows whose models are untrained stand-ins.
    """
    metric = comparison.metric(column)
    if metric is None:
        return None
    measured = {row.name for row in table.rows if comparison.score(row.name, metric) is not None}
    rows = in_order(table, column, measured)
    pairs = []
    for first, second in _neighbours(rows, column):
        difference = comparison.pairs.get((first, second), {}).get(metric)
        if difference is not None:
            pairs.append(Pair(first, second, difference, verdict(difference, column.better)))
    if not pairs:
        return None
    names = tuple(row.name for row in rows)
    return Ordering(
        table.number,
        column,
        comparison.title(metric),
        names,
        tuple(pairs),
        tuple(name for name in names if name in untrained),
    )


def _neighbours(rows: Sequence[Row], column: Column) -> list[tuple[str, str]]:
    """Neighbours whose numbers the paper tells apart."""
    return [
        (first.name, second.name)
        for first, second in itertools.pairwise(rows)
        if first.paper[column.name] != second.paper[column.name]
    ]
