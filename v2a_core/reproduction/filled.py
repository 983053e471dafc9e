"""The paper's tables with ours beside its numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from v2a_core.metrics.base import Score
from v2a_core.protocols import JSON
from v2a_core.reproduction.comparison import Comparison
from v2a_core.reproduction.orderings import Ordering, orderings_of
from v2a_core.reproduction.paper import EXTERNAL, REFERENCE, Column, Row, Table, Where
from v2a_core.reproduction.selection import Selection


@dataclass(frozen=True)
class Cell:
    """A place of a table.

    Attributes:
        paper: What the paper publishes; None: not known here.
        ours: What was measured; None: nothing.
        reason: Why not; empty where there is nothing to say.
    """

    paper: float | None
    ours: Score | None = None
    reason: str = ""


@dataclass(frozen=True)
class MeasuredBy:
    """What measured a column.

    Attributes:
        name: Of the metric.
        title: The same for people.
        stands_in: Whether it is another one than the paper's.
    """

    name: str
    title: str
    stands_in: bool


@dataclass(frozen=True)
class Measured:
    """All that was measured for the tables.

    Attributes:
        videos: The systems on the videos; None: they were not compared.
        pictures: On the pictures; the same.
        work: What each system took, by its name and the column's: seconds, millions of numbers.
        untrained: Systems whose models are stand-ins with untrained weights.
    """

    videos: Comparison | None = None
    pictures: Comparison | None = None
    work: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    untrained: frozenset[str] = frozenset()

    def comparison(self, where: Where) -> Comparison | None:
        """Of the videos or of the pictures."""
        return {"videos": self.videos, "pictures": self.pictures, "work": None}[where]


@dataclass(frozen=True)
class FilledTable:
    """A table with both kinds of numbers.

    Attributes:
        table: Of the paper.
        measured_by: The metric of each column that one measures, by the column's name.
        cells: By the names of row and column.
        orderings: What became of the paper's.
        untrained: Rows whose models are untrained stand-ins.
    """

    table: Table
    measured_by: Mapping[str, MeasuredBy]
    cells: Mapping[tuple[str, str], Cell]
    orderings: tuple[Ordering, ...] = ()
    untrained: frozenset[str] = frozenset()

    def cell(self, row: Row, column: Column) -> Cell:
        """Where a row and a column meet."""
        return self.cells[row.name, column.name]

    def reasons(self) -> dict[str, list[str]]:
        """Why places are empty: the reasons, and the rows and columns that each is of."""
        found: dict[str, list[str]] = {}
        for row in self.table.rows:
            by_reason: dict[str, list[str]] = {}
            for column in self.table.columns:
                reason = self.cell(row, column).reason
                if reason:
                    by_reason.setdefault(reason, []).append(column.title)
            for reason, columns in by_reason.items():
                whole = len(columns) == len(self.table.columns)
                found.setdefault(reason, []).append(row.title if whole else f"{row.title} ({', '.join(columns)})")
        return found

    def to_dict(self) -> dict[str, JSON]:
        """Plain data for JSON."""
        rows: list[JSON] = []
        for row in self.table.rows:
            cells: dict[str, Any] = {c.name: _plain(self.cell(row, c)) for c in self.table.columns}
            rows.append(
                {"name": row.name, "title": row.title, "untrained": row.name in self.untrained, "columns": cells}
            )
        columns: list[JSON] = [
            {"name": c.name, "title": c.title, "better": c.better, "measured_by": self._how(c)}
            for c in self.table.columns
        ]
        ordered: list[JSON] = [item.to_dict() for item in self.orderings]
        return {
            "number": self.table.number,
            "title": self.table.title,
            "columns": columns,
            "rows": rows,
            "orderings": ordered,
        }

    def _how(self, column: Column) -> dict[str, JSON] | None:
        found = self.measured_by.get(column.name)
        return None if found is None else {"metric": found.name, "title": found.title, "stands_in": found.stands_in}


def fill(selection: Selection, measured: Measured) -> tuple[FilledTable, ...]:
    """Every chosen table with what was measured.

    Args:
        selection: What was asked for.
        measured: What there is.
    """
    return tuple(_fill(table, selection, measured) for table in selection.tables)


def _fill(table: Table, selection: Selection, measured: Measured) -> FilledTable:
    metrics = {column.name: _metric(column, measured) for column in table.columns}
    cells = {
        (row.name, column.name): _cell(row, column, metrics[column.name], selection, measured)
        for row in table.rows
        for column in table.columns
    }
    how: dict[str, MeasuredBy] = {}
    ordered: list[Ordering] = []
    for column in table.columns:
        comparison, metric = measured.comparison(column.where), metrics[column.name]
        if comparison is not None and metric is not None:
            how[column.name] = MeasuredBy(metric, comparison.title(metric), metric not in column.metrics)
            found = orderings_of(table, column, comparison, measured.untrained)
            ordered += [found] if found else []
    untrained = frozenset(row.name for row in table.rows) & measured.untrained
    return FilledTable(table, how, cells, tuple(ordered), untrained)


def _metric(column: Column, measured: Measured) -> str | None:
    comparison = measured.comparison(column.where)
    return None if comparison is None else comparison.metric(column)


def _cell(row: Row, column: Column, metric: str | None, selection: Selection, measured: Measured) -> Cell:
    paper = row.paper.get(column.name)
    if not selection.wants(row):
        return Cell(paper, reason="left out (--only)")
    if column.where == "work":
        value = measured.work.get(row.name, {}).get(column.name)
        return Cell(paper, None if value is None else Score(value, math.nan, math.nan, 1))
    comparison = measured.comparison(column.where)
    if comparison is None:
        return Cell(paper, reason=f"there are no {column.where}, or no system was scored on them")
    if row.name == REFERENCE:
        return Cell(paper, None if metric is None else comparison.reference(metric))
    found = None if metric is None else comparison.score(row.name, metric)
    if found is not None:
        return Cell(paper, found)
    if row.name in EXTERNAL and row.name not in comparison.systems:
        return Cell(paper, reason=f"a system of others: give its sounds, --system {row.name}=PLACE")
    return Cell(paper, reason=comparison.reason(row.name, column.metrics[:1] if metric is None else (metric,)))


def _plain(cell: Cell) -> dict[str, JSON]:
    found: dict[str, JSON] = {"paper": cell.paper, "ours": None if cell.ours is None else cell.ours.to_dict()}
    return {**found, "reason": cell.reason} if cell.reason else found


def verdicts(tables: Sequence[FilledTable]) -> dict[str, int]:
    """How many orderings have which verdict."""
    found: dict[str, int] = {}
    for table in tables:
        for item in table.orderings:
            found[item.verdict] = found.get(item.verdict, 0) + 1
    return found
