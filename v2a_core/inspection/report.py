"""The report of a check: a table for a terminal, a JSON and a page."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import jinja2

from v2a_core import storage
from v2a_core.inspection.opened import Opened
from v2a_core.inspection.rows import Row
from v2a_core.protocols import JSON
from v2a_core.version import program

JSON_FILE, PAGE_FILE = "check.json", "check.html"
_WIDTH = 100


def line(row: Row) -> str:
    """A row as it stands on a terminal: what is not right with what to do below it."""
    text = f"{row.verdict.upper() if row.verdict == 'wrong' else row.verdict:12} {row.name}: {row.found}"
    if row.found == "-":
        text = f"{row.verdict:12} {row.name}"
    shown = f"{text} (expected: {row.expected})"
    return shown if not row.advice else f"{shown}\n{textwrap.indent(textwrap.fill(row.advice, _WIDTH), ' ' * 13)}"


def summary(rows: Sequence[Row]) -> str:
    """How many rows are right, wrong and not checked."""
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in ("right", "wrong", "not checked")}
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items())


def write_report(folder: str, opened: Opened, rows: Sequence[Row], seconds: float) -> None:
    """Write `check.json` and `check.html`.

    Args:
        folder: Where to, folder or URI.
        opened: What was checked.
        rows: What was found.
        seconds: How long it took.
    """
    local = opened.local
    fingerprints: dict[str, JSON] = {**local.fingerprints()}
    head: dict[str, JSON] = {
        "bundle": local.name,
        **program(),
        "device": opened.device,
        "seconds": round(seconds, 1),
        "fingerprints": fingerprints,
        "doubt": local.generator.settings.doubt,
        "sounds": len(opened.material.sounds),
        "pictures": len(opened.material.pictures),
    }
    storage.write_json(storage.join(folder, JSON_FILE), {**head, "rows": [asdict(row) for row in rows]})
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("check.html").render(head=head, rows=rows, summary=summary(rows))
    storage.write_bytes(storage.join(folder, PAGE_FILE), page.encode())
