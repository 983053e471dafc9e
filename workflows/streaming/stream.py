"""From a chain into an output: rows are written and counted as they come, and a run that goes wrong is stopped."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
from ray.data import Dataset
from ray.exceptions import RayTaskError

from v2a_core.compute.threads import every
from v2a_core.outputs.parts import PartWriter
from v2a_core.outputs.unfinished import Unfinished
from v2a_core.storage.trouble import StorageStopError, stop, stops_run
from workflows.cluster_runtime.counters import Monitored, Progress, RunMetrics
from workflows.cluster_runtime.restarts import bound_restarts
from workflows.streaming.config import LimitSettings
from workflows.streaming.job import Aside
from workflows.streaming.progress import RunProgress
from workflows.streaming.summary import Tally
from workflows.streaming.watchdog import watch

LOOK_S = 5.0  # how often it is looked whether rows are due, also while no others arrive


@dataclass(frozen=True)
class Sink:
    """Where rows go, in this process: one writer, so that a row is written once.

    Attributes:
        writer: Of rows that are final.
        unfinished: Takes those that the next run tries again.
        tally: Counts both.
        limits: When to give up.
        stage_columns: Maps a stage to the column in which rows carry its seconds.
        monitored: The run as the cluster's monitoring names it; None: there is no Ray that could.
        asides: Take what else the rows bring.
    """

    writer: PartWriter
    unfinished: Unfinished
    tally: Tally
    limits: LimitSettings
    stage_columns: Mapping[str, str]
    monitored: Monitored | None
    asides: Sequence[Aside] = ()

    def take(self, table: pa.Table) -> pa.Table:
        """Write and count rows; returns those that were new and final."""
        final, waiting = self.unfinished.split(table)
        written = self.writer.add(final)
        self.tally.arrive(table)
        self.tally.add(written)
        self.tally.wait(waiting)
        for aside in self.asides:
            aside.take(final)
        return written

    def progress(self) -> Progress:
        """How far the run is."""
        tally, writer = self.tally, self.writer
        bad = tally.rejected + tally.waiting
        return Progress(
            tally.planned, tally.arrived, bad, writer.rows_written, len(writer.written), writer.committed_at
        )

    def close(self) -> None:
        """Write what has arrived, whatever ended the run."""
        try:
            self.writer.flush()
            self.unfinished.save()
            for aside in self.asides:
                aside.close()
        except OSError as error:
            raise _storage_error(error) from None


def stream(data: Dataset | None, rejected: pa.Table, sink: Sink) -> None:
    """Write the rows of what was rejected while listing, then those of the chain, which runs now.

    Whatever ends the run, rows that have arrived are written before it ends.
    """
    metrics = RunMetrics(sink.monitored, sink.progress) if sink.monitored else None
    with metrics.reported() if metrics else contextlib.nullcontext():
        _stream(data, rejected, sink, metrics)


def _stream(data: Dataset | None, rejected: pa.Table, sink: Sink, metrics: RunMetrics | None) -> None:
    tally = sink.tally
    try:
        with RunProgress(tally.job, tally.planned, tally.notes, tally.stages) as bar:
            if rejected.num_rows:
                _take(rejected, sink, metrics)
                tally.rejected_early = tally.bad
                tally.check(sink.limits)
            if data is not None:
                _run_chain(data, sink, bar, metrics)
                tally.check_whole()
    except RayTaskError as error:
        raise own_error(error) from None
    except OSError as error:
        raise _storage_error(error) from None
    finally:
        sink.close()


def _run_chain(data: Dataset, sink: Sink, bar: RunProgress, metrics: RunMetrics | None) -> None:
    tally = sink.tally
    bound_restarts(data)
    with watch(data, tally, sink.limits), every(LOOK_S, sink.writer.flush_if_due, "commit") as check_commits:
        # Not a batch ahead: Ray would hold each one back until the next has come, and what hangs would keep it.
        for batch in data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            tally.add_seconds(batch, sink.stage_columns)
            tally.add_traffic(batch)
            _take(batch, sink, metrics)
            bar.update(tally.arrived)
            tally.check(sink.limits)
            check_commits()


def _take(table: pa.Table, sink: Sink, metrics: RunMetrics | None) -> None:
    written = sink.take(table)
    if metrics is not None:
        metrics.add(table, written, sink.tally.all_traffic())


def own_error(error: RayTaskError) -> Exception:
    """What a worker raised to stop the run, out of what Ray wraps around it; else the error itself."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, StorageStopError):
            return cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    return error


def _storage_error(error: OSError) -> Exception:
    return stop(error) if stops_run(error, writing=True) else error
