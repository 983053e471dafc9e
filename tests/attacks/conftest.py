"""The suite of attacks: what somebody, or bad luck, would try; each held, or went through. Run with `make attack`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers_verdicts import VERDICTS, counts

_HERE = Path(__file__).parent
_WIDTH = 140


@dataclass
class _Attack:
    """A line of the table."""

    area: str  # the file it is in
    title: str
    verdict: str
    seconds: float = 0.0
    reason: str = ""


_tried: dict[str, _Attack] = {}  # by test id


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
    report = outcome.get_result()
    if report.when == "call" or report.outcome != "passed":
        area = item.path.stem.removeprefix("test_").removesuffix("_attacks").replace("_", " ")
        why = report.longrepr[2].removeprefix("Skipped: ") if report.outcome == "skipped" else ""
        before = _tried.get(item.nodeid)
        if before is None or before.verdict == "held":
            _tried[item.nodeid] = _Attack(area, _title(item), VERDICTS[report.outcome], report.duration, why)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _tried:
        return
    terminalreporter.section("attacks")
    for area in sorted({attack.area for attack in _tried.values()}):
        here = [attack for attack in _tried.values() if attack.area == area]
        terminalreporter.write_line(f"{area}: {counts(attack.verdict for attack in here)}")
        for attack in here:
            reason = f" ({attack.reason})" if attack.reason else ""
            terminalreporter.write_line(f"{attack.verdict:>14}  {attack.title[:_WIDTH]}{reason}")
    terminalreporter.write_line(f"in all: {counts(attack.verdict for attack in _tried.values())}")


def _title(item: pytest.Item) -> str:
    """What a test says that it tries: the first line of its docstring, else its name."""
    told = ((getattr(item, "obj", None) and item.obj.__doc__) or "").strip().splitlines()
    case = f" [{item.callspec.id}]" if hasattr(item, "callspec") else ""
    return (told[0] if told else item.name.partition("[")[0].removeprefix("test_").replace("_", " ")) + case
