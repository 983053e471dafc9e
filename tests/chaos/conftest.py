"""The suite of chaos: jobs on a cluster that something befalls, and a table of what held. Run with `make chaos`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers_verdicts import Tried, counts, note

_HERE = Path(__file__).parent
_COLUMNS = "{seed:>6}  {job:<9} {fault:<35} {moment:<22} {verdict:<13} {seconds:>5}  {told}"
_LIMIT_S = 1800  # a round, and before the first of each job the undisturbed runs that it is held against


_tried: dict[str, Tried] = {}  # by test id


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.chaos)
            item.add_marker(pytest.mark.timeout(_LIMIT_S))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    note(_tried, item, outcome.get_result())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _tried:
        return
    terminalreporter.section("chaos")
    names = ("seed", "job", "fault", "moment")
    heads = {name: name for name in (*names, "verdict")}
    terminalreporter.write_line(_COLUMNS.format(**heads, seconds="s", told="what happened"))
    for tried in _tried.values():
        said = {name: str(value) for name, value in tried.item.user_properties}
        drawn = {name: said.get(name, "") for name in names}
        told = textwrap.shorten(tried.reason or said.get("told", ""), 300)
        line = _COLUMNS.format(**drawn, verdict=tried.verdict, seconds=f"{tried.seconds:.0f}", told=told)
        terminalreporter.write_line(line)
    terminalreporter.write_line(f"in all: {counts(tried.verdict for tried in _tried.values())}")
    terminalreporter.write_line("again, one alone: make chaos SEED=its-seed ROUNDS=1")
