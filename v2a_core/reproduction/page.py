"""The page of a reproduction: tables, orderings and figures in one HTML file, with pictures beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from v2a_core import pages
from v2a_core.reproduction.filled import FilledTable
from v2a_core.reproduction.reproduction import Reproduction
from v2a_core.reproduction.words import (
    NOT_KNOWN,
    UNTRAINED_MARK,
    UNTRAINED_NOTE,
    arrow,
    in_words,
    interval,
    our_number,
    pairs_in_words,
    paper_number,
    row_title,
)
from v2a_core.version import program

_TEMPLATE = Path(__file__).with_name("page.html")


@dataclass(frozen=True)
class _Cell:
    """A place of a table, in words."""

    paper: str
    ours: str
    between: str


@dataclass(frozen=True)
class _Row:
    """A row of a table, in words."""

    title: str
    cells: list[_Cell]


@dataclass(frozen=True)
class _Ordered:
    """An ordering, in words."""

    column: str
    verdict: str
    mark: str
    rows: str
    pairs: list[str]


def render_page(found: Reproduction) -> bytes:
    """The page as UTF-8; links are relative to it."""
    values: dict[str, object] = {
        "found": found,
        "verdicts": found.verdicts(),
        "tables": [_table(filled) for filled in found.tables],
        "untrained_mark": UNTRAINED_MARK,
        "not_known": NOT_KNOWN,
        "untrained_note": UNTRAINED_NOTE,
        "links": {title: _link(place) for title, place in (found.links or {}).items()},
        "version": "{version} ({commit})".format(**program()),
    }
    return pages.render(_TEMPLATE, values, title="The paper, reproduced", pictures=True, filters={"link": _link})


def _table(filled: FilledTable) -> Mapping[str, object]:
    table = filled.table
    rows = []
    for row in table.rows:
        cells = []
        for column in table.columns:
            cell = filled.cell(row, column)
            ours, between = our_number(cell.ours, column), interval(cell.ours, column)
            cells.append(_Cell(paper_number(row, column), ours, between))
        rows.append(_Row(row_title(row, filled.untrained), cells))
    ordered = [
        _Ordered(
            item.column.title,
            item.verdict,
            item.verdict.replace(" ", "-"),
            in_words(item, table),
            pairs_in_words(item, table),
        )
        for item in filled.orderings
    ]
    measured = [
        (column.title, arrow(column), filled.measured_by[column.name])
        for column in table.columns
        if column.name in filled.measured_by
    ]
    return {
        "number": table.number,
        "title": table.title,
        "columns": table.columns,
        "rows": rows,
        "measured": measured,
        "reasons": {why: ", ".join(places) for why, places in filled.reasons().items()},
        "orderings": ordered,
        "untrained": bool(filled.untrained),
    }


def _link(place: str) -> str:
    """A link to a place in the folder of the page: no name turns into a scheme, a query or a fragment."""
    return "./" + quote(place, safe="/")
