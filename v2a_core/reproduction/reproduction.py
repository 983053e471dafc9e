"""A whole reproduction, as it is written down: tables, figures, what they were made with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from v2a_core.protocols import JSON
from v2a_core.reproduction.filled import FilledTable, verdicts
from v2a_core.version import program


@dataclass(frozen=True)
class Figure:
    """A figure of the paper.

    Attributes:
        number: The paper's.
        title: What it shows.
        file: The picture, by its place in the output; None: there is none.
        link: What else there is of it, a page, by its place in the output.
        note: What is to be known of it, or why there is none.
    """

    number: int
    title: str
    file: str | None = None
    link: str | None = None
    note: str = ""


@dataclass(frozen=True)
class Reproduction:
    """What was reproduced.

    Attributes:
        tables: With both kinds of numbers.
        figures: In their order.
        made_with: What a reader must know to judge the numbers, by what it is of.
        notes: Sentences that hold for all of it.
        links: Pages of the comparisons, by title, by their places in the output.
    """

    tables: Sequence[FilledTable]
    figures: Sequence[Figure]
    made_with: Mapping[str, str]
    notes: Sequence[str] = ()
    links: Mapping[str, str] | None = None

    def verdicts(self) -> str:
        """How many orderings of the paper have which verdict, in words."""
        if not self.tables:
            return "No table was asked for"
        found = verdicts(self.tables)
        counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(found.items()))
        return f"Orderings of the paper: {counts or 'none was measured'}"

    def to_dict(self) -> dict[str, JSON]:
        """Plain data for JSON."""
        tables: list[JSON] = [table.to_dict() for table in self.tables]
        figures: list[JSON] = [asdict(figure) for figure in self.figures]
        verdict_counts: dict[str, JSON] = {**verdicts(self.tables)}
        return {
            "program": {**program()},
            "paper": "arXiv 2308.09300, AAAI 2024",
            "made_with": {**self.made_with},
            "notes": [*self.notes],
            "verdicts": verdict_counts,
            "tables": tables,
            "figures": figures,
        }
