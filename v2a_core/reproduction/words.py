"""Numbers of the tables in words, the same in Markdown, in LaTeX and on the page."""

from __future__ import annotations

import math

from v2a_core.metrics.base import Score
from v2a_core.reproduction.orderings import Ordering
from v2a_core.reproduction.paper import Column, Row, Table

NOT_KNOWN = "not known here"
EMPTY = "-"
UNTRAINED_MARK = "*"
UNTRAINED_NOTE = "A stand-in with untrained weights: its size and its speed mean something, its sounds do not."


def paper_number(row: Row, column: Column) -> str:
    """A number of the paper, with its own digits; a dash where it leaves a place empty."""
    if column.name in row.empty:
        return EMPTY
    return NOT_KNOWN if column.name not in row.paper else f"{row.paper[column.name]:.{column.digits}f}"


def our_number(score: Score | None, column: Column) -> str:
    """A number of ours; nothing where there is none."""
    return "" if score is None else f"{score.value:.{column.digits}f}"


def interval(score: Score | None, column: Column) -> str:
    """`low to high`; nothing without an interval."""
    if score is None or not (math.isfinite(score.low) and math.isfinite(score.high)):
        return ""
    return f"{score.low:.{column.digits}f} to {score.high:.{column.digits}f}"


def with_interval(score: Score | None, column: Column) -> str:
    """`value (low to high)`."""
    between = interval(score, column)
    return f"{our_number(score, column)} ({between})" if between else our_number(score, column)


def row_title(row: Row, untrained: frozenset[str]) -> str:
    """A row's title, with a mark where its models are untrained."""
    return f"{row.title}{UNTRAINED_MARK if row.name in untrained else ''}"


def arrow(column: Column) -> str:
    """Which values are better."""
    return "higher is better" if column.better == "higher" else "lower is better"


def in_words(ordering: Ordering, table: Table) -> str:
    """The rows of an ordering, the paper's best first."""
    titles = {row.name: row_title(row, frozenset(ordering.untrained)) for row in table.rows}
    return ", then ".join(titles[name] for name in ordering.rows)


def pairs_in_words(ordering: Ordering, table: Table) -> list[str]:
    """Each pair with the difference of ours and its verdict."""
    titles = {row.name: row.title for row in table.rows}
    found = []
    for pair in ordering.pairs:
        between, value = interval(pair.difference, ordering.column), pair.difference.value
        where = f" ({between})" if between else ""
        difference = f"{value:+.{ordering.column.digits}f}{where}"
        found.append(f"{titles[pair.first]} minus {titles[pair.second]}: {difference}, {pair.verdict}")
    return found
