"""What a cluster's monitoring sees of a streaming run: metrics of `ray.util.metrics`, reported by the driver.

`docs/operations.md` lists all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from ray.util.metrics import Counter

from v2a_core.storage.retrying import Traffic
from v2a_core.tables.schema import OK, REJECTED
from workflows.cluster_runtime.series import Run, RunSeries

_SECONDS = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0]


@dataclass(frozen=True)
class Monitored:
    """A streaming run as its series name it.

    Attributes:
        run: What all runs say of themselves.
        actors: Of each model stage.
        device: What they compute on.
        stage_columns: Maps a stage to the column in which rows carry its seconds.
    """

    run: Run
    actors: int
    device: Literal["gpu", "cpu"]
    stage_columns: Mapping[str, str]


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        planned: Sources of this run.
        done: Of them, those that have a row.
        rejected: Of them, those that are rejected or wait for the next run.
        rows: Committed.
        parts: Committed.
        committed_at: When the newest part was committed, in seconds since the epoch; None: none was.
    """

    planned: int
    done: int
    rejected: int
    rows: int
    parts: int
    committed_at: float | None


class RunMetrics(RunSeries):
    """Counts what arrives, and says how far a run is.

    Args:
        about: The run.
        progress: Says how far it is; called from a thread.
    """

    def __init__(self, about: Monitored, progress: Callable[[], Progress]) -> None:
        super().__init__(about.run)
        self._about, self._progress = about, progress
        self._moved, self._committed = Traffic(), (0, 0)
        self._add_counters()
        self._add_gauges()

    def _add_counters(self) -> None:
        self._done = self.counter("v2a_rows_done", "Segments or soundtracks done")
        self._rejects = self.counter("v2a_rejects", "Rejected rows by stage and reason", "reason")
        self._bytes = self.counter("v2a_bytes_read", "Bytes read from storage")
        self._retries = self.counter("v2a_retries", "Storage requests tried again")
        self._rows = self.counter("v2a_rows_committed", "Rows in parts of the output that this run committed")
        self._parts = self.counter("v2a_parts_committed", "Parts of the output that this run committed")
        self._busy = self.counter("v2a_stage_busy_seconds", "Seconds of work of a stage, over all workers", "stage")
        # Its sum is an estimate: Ray passes on how many were in each bucket. Hence the counter beside it.
        self._seconds = self.histogram(
            "v2a_stage_seconds",
            "Seconds of a row in a stage: decode, or one of the models; the mean of each batch",
            _SECONDS,
            "stage",
        )

    def _add_gauges(self) -> None:
        self._last = self.gauge("v2a_last_commit_timestamp_seconds", "When the run committed last, or else began")
        self._planned = self.gauge("v2a_sources_planned", "Sources of the run")
        self._sources = self.gauge("v2a_sources_done", "Sources of the run that have a row")
        self._bad = self.gauge("v2a_sources_rejected", "Of them, those rejected or to be tried again")
        self._actors = self.gauge("v2a_model_actors", "Actors of each model stage", "device")

    def add(self, arrived: pa.Table, written: pa.Table, traffic: Traffic) -> None:
        """Report a batch.

        Args:
            arrived: The rows as the chain gave them.
            written: Those of them that were new.
            traffic: What the run has moved so far.
        """
        _increase(self._done, int(pc.sum(pc.equal(written["status"], OK)).as_py() or 0))
        rejected = written.filter(pc.equal(written["status"], REJECTED))
        for stage, kind in zip(rejected["reject_stage"].to_pylist(), rejected["reject_type"].to_pylist(), strict=True):
            self._rejects.inc(1, {"reason": f"{stage}: {kind}"})
        moved, self._moved = traffic.since(self._moved), traffic
        _increase(self._bytes, moved.bytes_read)
        _increase(self._retries, moved.retries)
        for stage, column in self._about.stage_columns.items():
            if column in arrived.schema.names:
                self._add_stage(stage, arrived[column])

    def _add_stage(self, stage: str, seconds: pa.ChunkedArray) -> None:
        spent = pc.sum(seconds).as_py() or 0.0
        worked = pc.sum(pc.greater(seconds, 0)).as_py() or 0
        if spent > 0:
            self._busy.inc(spent, {"stage": stage})
            self._seconds.observe(spent / worked, {"stage": stage})

    def look(self) -> None:
        """Say how far the run is, now."""
        super().look()
        now = self._progress()
        rows, parts = self._committed
        _increase(self._rows, now.rows - rows)
        _increase(self._parts, now.parts - parts)
        self._committed = now.rows, now.parts
        self._last.set(now.committed_at or self.started)
        self._planned.set(now.planned)
        self._sources.set(now.done)
        self._bad.set(now.rejected)
        self._actors.set(self._about.actors, {"device": self._about.device})


def _increase(counter: Counter, amount: int) -> None:
    if amount > 0:  # Ray refuses others
        counter.inc(amount)
