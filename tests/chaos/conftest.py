"""The suite of chaos: jobs on a cluster that something befalls, and a table of what held. Run with `make chaos`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers_verdicts import VERDICTS, counts

_HERE = Path(__file__).parent
_COLUMNS = "{seed:>6}  {job:<9} {fault:<35} {moment:<22} {verdict:<13} {seconds:>5}  {told}"
_LIMIT_S = 1800  # a round, and before the first of each job the undisturbed runs that it is held against


@dataclass
class _Tried:
    """A line of the table."""

    drawn: dict[str, str]
    verdict: str
    seconds: float = 0.0
    reason: str = ""


_tried: dict[str, _Tried] = {}  # by test id


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.chaos)
            item.add_marker(pytest.mark.timeout(_LIMIT_S))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" or report.outcome != "passed":
        drawn = {name: str(value) for name, value in item.user_properties}
        why = report.longrepr[2].removeprefix("Skipped: ") if report.outcome == "skipped" else drawn.get("told", "")
        before = _tried.get(item.nodeid)
        if before is None or before.verdict == "held":
            _tried[item.nodeid] = _Tried(drawn, VERDICTS[report.outcome], report.duration, why)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _tried:
        return
    terminalreporter.section("chaos")
    names = ("seed", "job", "fault", "moment")
    heads = {name: name for name in (*names, "verdict")}
    terminalreporter.write_line(_COLUMNS.format(**heads, seconds="s", told="what happened"))
    for tried in _tried.values():
        drawn = {name: tried.drawn.get(name, "") for name in names}
        told = textwrap.shorten(tried.reason, 300)
        line = _COLUMNS.format(**drawn, verdict=tried.verdict, seconds=f"{tried.seconds:.0f}", told=told)
        terminalreporter.write_line(line)
    terminalreporter.write_line(f"in all: {counts(tried.verdict for tried in _tried.values())}")
    terminalreporter.write_line("again, one alone: make chaos SEED=its-seed ROUNDS=1")
