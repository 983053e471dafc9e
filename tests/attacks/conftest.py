"""The suite of attacks: what somebody, or bad luck, would try; each held, or went through. Run with `make attack`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_VERDICTS = {"passed": "held", "failed": "WENT THROUGH", "skipped": "not tried"}
_tried: dict[str, tuple[str, str]] = {}  # test id -> what was tried, verdict


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.attack)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" or report.outcome != "passed":
        _tried[item.nodeid] = (_title(item), _VERDICTS[report.outcome])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _tried:
        return
    terminalreporter.section("attacks")
    for title, verdict in _tried.values():
        terminalreporter.write_line(f"{verdict:>12}  {title}")
    held = sum(verdict == "held" for _, verdict in _tried.values())
    terminalreporter.write_line(f"{held} of {len(_tried)} held")


def _title(item: pytest.Item) -> str:
    """What a test says that it tries: the first line of its docstring, else its name."""
    told = ((getattr(item, "obj", None) and item.obj.__doc__) or "").strip().splitlines()
    case = f" [{item.callspec.id}]" if hasattr(item, "callspec") else ""
    return (told[0] if told else item.name.partition("[")[0].removeprefix("test_").replace("_", " ")) + case
