"""The tables as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from v2a_core.reproduction.filled import FilledTable
from v2a_core.reproduction.reproduction import Reproduction
from v2a_core.reproduction.words import (
    UNTRAINED_MARK,
    UNTRAINED_NOTE,
    arrow,
    in_words,
    pairs_in_words,
    paper_number,
    row_title,
    with_interval,
)


def to_markdown(found: Reproduction) -> str:
    """All tables with their orderings, and what they were made with."""
    return "\n".join([*_lines(found), ""])


def _lines(found: Reproduction) -> Iterator[str]:
    yield from ("# The paper, reproduced", "", f"{found.verdicts()}.", "")
    yield from (f"- {title}: {text}" for title, text in found.made_with.items())
    yield from ("", *found.notes) if found.notes else ()
    for table in found.tables:
        yield from _table(table)
    if found.figures:
        yield from ("", "## Figures", "")
        for figure in found.figures:
            where = ", ".join(place for place in (figure.file, figure.link) if place)
            said = "; ".join(text for text in (where, figure.note) if text)
            yield f"- Figure {figure.number}. {figure.title}: {said}"


def _table(filled: FilledTable) -> Iterator[str]:
    table = filled.table
    yield from ("", f"## Table {table.number}. {table.title}", "")
    head = ["", *(text for column in table.columns for text in (f"{column.title}, paper", f"{column.title}, here"))]
    rows = []
    for row in table.rows:
        cells = [row_title(row, filled.untrained)]
        for column in table.columns:
            cell = filled.cell(row, column)
            cells += [paper_number(row, column), with_interval(cell.ours, column)]
        rows.append(cells)
    yield from _aligned(head, rows)
    yield ""
    for column in table.columns:
        how = filled.measured_by.get(column.name)
        if how is not None:
            stands_in = ", which stands in for the paper's metric: compare orders, not values" if how.stands_in else ""
            yield f"- {column.title} ({arrow(column)}), here: {how.title}{stands_in}"
    yield from (f"- nothing here for {', '.join(places)}: {why}" for why, places in filled.reasons().items())
    if filled.untrained:
        yield f"- {UNTRAINED_MARK} {UNTRAINED_NOTE}"
    if filled.orderings:
        yield from ("", "Orders of the paper, and ours by the intervals of paired differences:", "")
        for item in filled.orderings:
            yield f"- {item.column.title}: **{item.verdict}**. {in_words(item, table)}"
            yield from (f"    - {pair}" for pair in pairs_in_words(item, table))


def _aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table whose columns line up, so that it reads on a terminal, too."""
    widths = [max(3, *(len(row[place]) for row in [head, *rows])) for place in range(len(head))]
    yield _line(head, widths)
    yield "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    yield from (_line(row, widths) for row in rows)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"
