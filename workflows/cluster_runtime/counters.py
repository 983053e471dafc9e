"""What a cluster's monitoring sees of a run: metrics of `ray.util.metrics`, reported by the driver.

Ray exports each as `ray_<name>`, and a counter as `ray_<name>_total`, where the driver runs. A gauge that is not set
anew is gone after some 20 s: a run sets its own from a thread, whatever else it waits for, and those of a run that has
ended, or was killed, go by themselves. So the gauges of a run are there while it is at work. `docs/operations.md` lists
all of them.
"""

from __future__ import annotations

import contextlib
import os
import string
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
from ray.util.metrics import Counter, Gauge, Histogram

from v2a_core.compute.threads import every
from v2a_core.storage.retrying import Traffic
from v2a_core.tables.schema import OK, REJECTED
from v2a_core.version import commit

REPORT_S = 5.0  # Ray gathers every 10 s
_SECONDS = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0]
_RUN = ("v2a_job", "run")  # `job` is a label that Prometheus itself sets


@dataclass(frozen=True)
class Monitored:
    """A run as its series name it.

    Attributes:
        job: The job's name; the label `v2a_job`.
        run: What tells the run from every other; the label `run`.
        output: Folder or URI without credentials, a label of `v2a_run_info` only; see `label`.
        actors: Of each model stage.
        device: What they compute on.
        stage_columns: Maps a stage to the column in which rows carry its seconds.
    """

    job: str
    run: str
    output: str
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


class RunMetrics:
    """Counts what arrives, and says how far a run is.

    Args:
        about: The run.
        progress: Says how far it is; called from a thread.
    """

    def __init__(self, about: Monitored, progress: Callable[[], Progress]) -> None:
        self._about, self._progress = about, progress
        self._labels = {"v2a_job": about.job, "run": about.run}
        self._started = time.time()
        self._moved, self._committed = Traffic(), (0, 0)
        self._add_counters()
        self._add_gauges()

    def _add_counters(self) -> None:
        self._done = self._counter("v2a_rows_done", "Segments or soundtracks done")
        self._rejects = self._counter("v2a_rejects", "Rejected rows by stage and reason", "reason")
        self._bytes = self._counter("v2a_bytes_read", "Bytes read from storage")
        self._retries = self._counter("v2a_retries", "Storage requests tried again")
        self._rows = self._counter("v2a_rows_committed", "Rows in parts of the output that this run committed")
        self._parts = self._counter("v2a_parts_committed", "Parts of the output that this run committed")
        self._busy = self._counter("v2a_stage_busy_seconds", "Seconds of work of a stage, over all workers", "stage")
        # Its sum is an estimate: Ray passes on how many were in each bucket. Hence the counter beside it.
        self._seconds = self._labelled(
            Histogram(
                "v2a_stage_seconds",
                "Seconds of a row in a stage: decode, or one of the models; the mean of each batch",
                boundaries=_SECONDS,
                tag_keys=(*_RUN, "stage"),
            )
        )

    def _add_gauges(self) -> None:
        self._info = self._gauge("v2a_run_info", "1 while a run is at work", "output", "commit")
        self._began = self._gauge("v2a_run_started_timestamp_seconds", "When the run began to stream")
        self._last = self._gauge("v2a_last_commit_timestamp_seconds", "When the run committed last, or else began")
        self._planned = self._gauge("v2a_sources_planned", "Sources of the run")
        self._sources = self._gauge("v2a_sources_done", "Sources of the run that have a row")
        self._bad = self._gauge("v2a_sources_rejected", "Of them, those rejected or to be tried again")
        self._actors = self._gauge("v2a_model_actors", "Actors of each model stage", "device")
        self._memory = self._gauge("v2a_driver_resident_memory_bytes", "Memory of the process that runs the job")

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

    @contextlib.contextmanager
    def reported(self) -> Iterator[None]:
        """Say every `REPORT_S` in the block how far the run is, and once more at its end."""
        self.look()
        with every(REPORT_S, self.look, "metrics") as check:
            yield
        check()
        self.look()

    def look(self) -> None:
        """Say how far the run is, now."""
        now = self._progress()
        rows, parts = self._committed
        _increase(self._rows, now.rows - rows)
        _increase(self._parts, now.parts - parts)
        self._committed = now.rows, now.parts
        self._info.set(1, {"output": label(self._about.output), "commit": commit()})
        self._began.set(self._started)
        self._last.set(now.committed_at or self._started)
        self._planned.set(now.planned)
        self._sources.set(now.done)
        self._bad.set(now.rejected)
        self._actors.set(self._about.actors, {"device": self._about.device})
        memory = resident_bytes()
        if memory is not None:
            self._memory.set(memory)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return self._labelled(Counter(name, meaning, tag_keys=(*_RUN, *labels)))

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return self._labelled(Gauge(name, meaning, tag_keys=(*_RUN, *labels)))

    def _labelled(self, metric: MetricT) -> MetricT:
        metric.set_default_tags(self._labels)
        return metric


def label(text: str) -> str:
    """A name as the value of a label, which Ray wants to be ASCII: what else it has is percent-encoded, as in a URI."""
    return quote(text, safe=string.punctuation + " ")


MetricT = TypeVar("MetricT", Counter, Gauge, Histogram)


def resident_bytes() -> int | None:
    """Memory that this process holds; None where the system does not tell."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None


def _increase(counter: Counter, amount: int) -> None:
    if amount > 0:  # Ray refuses others
        counter.inc(amount)
