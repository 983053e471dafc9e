"""What a run shows while it goes: a progress line on a terminal, one JSON line an interval elsewhere."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from workflows.runtime import on_terminal

JSON_INTERVAL_S = 30.0


class RunProgress:
    """Shows how far a job is.

    Args:
        job: The job's name.
        total: Sources to do in this run.
        counts: Called for the numbers to show beside the bar.
        stages: Called for the seconds of work of each stage; none: the job has no stages to tell apart.
    """

    def __init__(
        self,
        job: str,
        total: int,
        counts: Callable[[], dict[str, Any]],
        stages: Callable[[], dict[str, float]] = dict,
    ) -> None:
        self._job, self._total, self._counts, self._stages = job, total, counts, stages
        self._stage_tasks: dict[str, TaskID] = {}
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
            self._show_stages(self._bar)
            return
        now = time.monotonic()
        if now - self._last >= JSON_INTERVAL_S:
            self._last = now
            line = {"job": self._job, "done": done, "total": self._total, **self._counts()}
            if stages := self._stages():
                line["stage_seconds"] = stages
            print(json.dumps({**line, "elapsed_s": round(now - self._started, 1)}), file=sys.stderr, flush=True)

    def _show_stages(self, bar: Progress) -> None:
        """A bar for each stage: its share of the work that was done."""
        stages = self._stages()
        total = sum(stages.values()) or 1.0
        for stage, seconds in stages.items():
            if stage not in self._stage_tasks:
                self._stage_tasks[stage] = bar.add_task(f"  {stage}", total=100, note="")
            share = round(100 * seconds / total)
            bar.update(self._stage_tasks[stage], completed=share, note=f"% of the work, {seconds:.0f} s")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
