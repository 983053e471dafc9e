"""What a run shows while it goes: a progress line on a terminal, one JSON line an interval elsewhere."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from workflows.runtime import on_terminal

JSON_INTERVAL_S = 30.0


class RunProgress:
    """Shows how far a job is.

    Args:
        job: The job's name.
        total: Sources to do in this run.
        counts: Called for the numbers to show beside the bar.
    """

    def __init__(self, job: str, total: int, counts: Callable[[], dict[str, Any]]) -> None:
        self._job, self._total, self._counts = job, total, counts
        self._started = self._last = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> RunProgress:
        if on_terminal():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
            )
            self._bar = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True))
            self._bar.start()
            self._task = self._bar.add_task(self._job, total=self._total, note="starting")
        return self

    def update(self, done: int) -> None:
        """Show that `done` sources are finished."""
        if self._bar is not None:
            note = ", ".join(f"{value} {name}" for name, value in self._counts().items())
            self._bar.update(self._task, completed=done, note=note)
            return
        now = time.monotonic()
        if now - self._last >= JSON_INTERVAL_S:
            self._last = now
            line = {"job": self._job, "done": done, "total": self._total, **self._counts()}
            print(json.dumps({**line, "elapsed_s": round(now - self._started, 1)}), file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
