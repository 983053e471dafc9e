"""The suite of attacks: what somebody, or bad luck, would try; each held, or went through. Run with `make attack`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers_verdicts import Tried, counts, note

_HERE = Path(__file__).parent
_WIDTH = 140


_tried: dict[str, Tried] = {}  # by test id


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.attack)
            if item.get_closest_marker("timeout") is None:
                # The first test of a file waits for the run that all of them look at.
                item.add_marker(pytest.mark.timeout(900))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    note(_tried, item, outcome.get_result())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _tried:
        return
    terminalreporter.section("attacks")
    for area in sorted({_area(attack.item) for attack in _tried.values()}):
        here = [attack for attack in _tried.values() if _area(attack.item) == area]
        terminalreporter.write_line(f"{area}: {counts(attack.verdict for attack in here)}")
        for attack in here:
            reason = f" ({attack.reason})" if attack.reason else ""
            terminalreporter.write_line(f"{attack.verdict:>14}  {_title(attack.item)[:_WIDTH]}{reason}")
    terminalreporter.write_line(f"in all: {counts(attack.verdict for attack in _tried.values())}")


def _area(item: pytest.Item) -> str:
    """The file that a test is in."""
    return item.path.stem.removeprefix("test_").removesuffix("_attacks").replace("_", " ")


def _title(item: pytest.Item) -> str:
    """What a test says that it tries: the first line of its docstring, else its name."""
    told = ((getattr(item, "obj", None) and item.obj.__doc__) or "").strip().splitlines()
    case = f" [{item.callspec.id}]" if hasattr(item, "callspec") else ""
    return (told[0] if told else item.name.partition("[")[0].removeprefix("test_").replace("_", " ")) + case
