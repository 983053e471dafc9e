"""The report of a check: a table for a terminal, a JSON and a page."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from v2a_core import pages, storage
from v2a_core.inspection.rows import Row
from v2a_core.protocols import JSON
from v2a_core.version import program

JSON_FILE, PAGE_FILE = "check.json", "check.html"
_WIDTH = 100


@dataclass(frozen=True)
class Report:
    """What a check found.

    Attributes:
        bundle: Name of what was checked.
        device: Where the models ran.
        rows: What was found.
        seconds: How long it took.
        fingerprints: Of the bundle's parts; none when its files could not be had.
        doubt: What nobody has measured about its generator.
        sounds: How many it was checked on.
        pictures: The same.
    """

    bundle: str
    device: str
    rows: Sequence[Row]
    seconds: float
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    doubt: str = ""
    sounds: int = 0
    pictures: int = 0


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


def write_report(folder: str, report: Report) -> None:
    """Write `check.json` and `check.html` into a folder or URI."""
    head: dict[str, JSON] = {**program(), "bundle": report.bundle, "device": report.device, "doubt": report.doubt}
    numbers: dict[str, JSON] = {
        "seconds": round(report.seconds, 1),
        "sounds": report.sounds,
        "pictures": report.pictures,
        "fingerprints": dict(report.fingerprints),
    }
    rows: list[JSON] = [asdict(row) for row in report.rows]
    storage.write_json(storage.join(folder, JSON_FILE), {**head, **numbers, "rows": rows})
    version = "{version} ({commit})".format(**program())
    values = {"report": report, "summary": summary(report.rows), "version": version}
    page = pages.render(Path(__file__).with_name(PAGE_FILE), values, title=f"Check of {report.bundle}")
    storage.write_bytes(storage.join(folder, PAGE_FILE), page)
