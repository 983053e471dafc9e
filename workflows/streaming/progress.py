"""What a run shows while it goes: a progress line on a terminal, one JSON line an interval elsewhere."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

JSON_INTERVAL_S = 30.0
BAR_WIDTH = 24
_TIMES = 16  # both times, with the spaces before them


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
        counts: Callable[[], Mapping[str, float]],
        stages: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        self._job, self._total, self._counts, self._stages = job, total, counts, stages
        self._started = self._last = time.monotonic()
        self._bar: _Bar | None = None

    def __enter__(self) -> RunProgress:
        if on_terminal():
            self._bar = _Bar(self._job, self._total, Console(stderr=True))
            self._bar.start()
        return self

    def update(self, done: int) -> None:
        """Show that `done` sources are finished."""
        if self._bar is not None:
            self._bar.show(done, self._counts(), self._stages())
            return
        now = time.monotonic()
        if now - self._last >= JSON_INTERVAL_S:
            self._last = now
            line: dict[str, object] = {"job": self._job, "done": done, "total": self._total, **self._counts()}
            if stages := self._stages():
                line["stage_seconds"] = stages
            print(json.dumps({**line, "elapsed_s": round(now - self._started, 1)}), file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


class _Bar(Progress):
    """A line with a bar, as many numbers as fit beside it, and below it where the work went."""

    def __init__(self, job: str, total: int, console: Console) -> None:
        self._below = ""
        columns = (
            TextColumn("{task.description}", table_column=Column(no_wrap=True)),
            BarColumn(BAR_WIDTH),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True)),
            TimeElapsedColumn(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(table_column=Column(no_wrap=True)),
        )
        super().__init__(*columns, console=console)
        self._task = self.add_task(job, total=total, note="starting")

    def show(self, done: int, counts: Mapping[str, float], stages: Mapping[str, float]) -> None:
        """Show how far the job is."""
        task = self.tasks[0]
        fixed = len(task.description) + BAR_WIDTH + 2 * len(f"{task.total:.0f}") + len("/") + _TIMES + len("    ")
        note = fitting(
            (f"{name.replace('_', ' ')} {value}" for name, value in counts.items()), self.console.width - fixed
        )
        self._below = ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in stages.items())
        self.update(self._task, completed=done, note=note)

    def get_renderables(self) -> Iterable[RenderableType]:
        """The line of the bar, and what is below it."""
        yield from super().get_renderables()
        if self._below:
            yield Text(f"  work of all workers: {self._below}")


def fitting(words: Iterable[str], room: int) -> str:
    """As many of the words, with commas, as there is room for; the first ones first."""
    shown = ""
    for word in words:
        longer = f"{shown}, {word}" if shown else word
        if len(longer) > room:
            break
        shown = longer
    return shown


def on_terminal() -> bool:
    """Whether a person watches."""
    return sys.stderr.isatty()
