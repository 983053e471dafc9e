"""Tests of jobs: Ray warns of itself in the process that drives it, when it copies its settings and reads its lists."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            # Before the marks of a test itself, which come after it and win.
            item.add_marker(pytest.mark.filterwarnings("ignore::DeprecationWarning"), append=False)
