"""What a table of things that were tried says of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import pytest

VERDICTS = {"passed": "held", "failed": "WENT THROUGH", "skipped": "not tried"}  # by what pytest says


@dataclass(frozen=True)
class Tried:
    """A line of a table.

    Attributes:
        item: The test.
        verdict: What came of it.
        seconds: How long it took.
        reason: Why it was not tried; empty when it was.
    """

    item: pytest.Item
    verdict: str
    seconds: float
    reason: str


def note(tried: dict[str, Tried], item: pytest.Item, report: pytest.TestReport) -> None:
    """Keep what a phase of a test says, by the test's id; what held can still go through while it is cleaned up."""
    if report.when != "call" and report.outcome == "passed":
        return
    before = tried.get(item.nodeid)
    if before is None or before.verdict == "held":
        skipped = report.outcome == "skipped" and isinstance(report.longrepr, tuple)
        reason = report.longrepr[2].removeprefix("Skipped: ") if skipped else ""
        tried[item.nodeid] = Tried(item, VERDICTS[report.outcome], report.duration, reason)


def counts(verdicts: Iterable[str]) -> str:
    """How many are what."""
    found = Counter(verdicts)
    parts = [f"{found['held']} of {found.total()} held"]
    parts += [f"{found[verdict]} {verdict}" for verdict in ("WENT THROUGH", "not tried") if found[verdict]]
    return ", ".join(parts)
