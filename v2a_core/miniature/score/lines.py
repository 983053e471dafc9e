"""What a score says: numbers with targets, and orderings that the paper found."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from v2a_core.metrics.base import Score
from v2a_core.protocols import JSON

JSON_FILE = "score.json"
HELD, NOT_HELD, OPEN = "held", "NOT HELD", ""


@dataclass(frozen=True)
class Line:
    """A number, and what it must be.

    Attributes:
        name: Stable, for machines.
        title: For people.
        score: The number.
        target: What it must reach; None: it is only reported.
        at_most: The target is a ceiling.
    """

    name: str
    title: str
    score: Score
    target: float | None = None
    at_most: bool = False

    @property
    def verdict(self) -> str:
        """Whether the value reaches the target."""
        if self.target is None:
            return OPEN
        reaches = self.score.value <= self.target if self.at_most else self.score.value >= self.target
        return HELD if reaches else NOT_HELD

    def to_dict(self) -> dict[str, JSON]:
        """Plain data for JSON."""
        values: dict[str, JSON] = {"title": self.title, **self.score.to_dict()}
        if self.target is None:
            return values
        return {**values, "target": self.target, "at_most": self.at_most, "verdict": self.verdict}


@dataclass(frozen=True)
class Ordering:
    """Systems in the order in which the paper has them, best first.

    Attributes:
        title: What is compared, by which number.
        scores: By system, in the paper's order.
        better: Which values are better.
    """

    title: str
    scores: Mapping[str, Score]
    better: Literal["higher", "lower"]

    @property
    def held(self) -> bool:
        """Whether the values have this order."""
        values = [score.value if self.better == "lower" else -score.value for score in self.scores.values()]
        return all(a < b for a, b in itertools.pairwise(values))

    @property
    def clear(self) -> bool:
        """Whether no interval overlaps its neighbour's, in the order of the values."""
        ordered = sorted(self.scores.values(), key=lambda score: score.value)
        return all(a.high < b.low for a, b in itertools.pairwise(ordered))

    @property
    def verdict(self) -> str:
        """For a table."""
        return f"{HELD if self.held else NOT_HELD}{'' if self.clear else ' (intervals overlap)'}"

    def to_dict(self) -> dict[str, JSON]:
        """Plain data for JSON."""
        return {
            "title": self.title,
            "better": self.better,
            "order": {name: score.to_dict() for name, score in self.scores.items()},
            "held": self.held,
            "intervals_overlap": not self.clear,
        }


def worst_part(score: Score) -> tuple[str, Score]:
    """The part with the lowest value."""
    return min(score.parts.items(), key=lambda item: item[1].value)


def format_number(value: float) -> str:
    """Three digits after the point, nothing for what is not known."""
    return "" if not math.isfinite(value) else f"{value:.3f}"


def format_interval(score: Score) -> str:
    """`low to high`, nothing without an interval."""
    return "" if math.isnan(score.low) else f"{score.low:.3f} to {score.high:.3f}"


def with_interval(score: Score) -> str:
    """`value (low to high)`."""
    return f"{format_number(score.value)} ({format_interval(score)})"


def lines_table(lines: Sequence[Line]) -> str:
    """Numbers with their targets, as Markdown."""
    rows = []
    for line in lines:
        target = "" if line.target is None else f"{'<=' if line.at_most else '>='} {line.target:.2f}"
        rows.append([line.title, format_number(line.score.value), format_interval(line.score), target, line.verdict])
    return format_table(["must hold", "value", "interval", "target", ""], rows)


def format_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns line up, so that it reads on a terminal too."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in lines
    )
