"""What a cluster's monitoring sees of a run: counters and histograms of `ray.util.metrics`, reported by the driver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from ray.util.metrics import Counter, Histogram

from v2a_core.storage.retrying import Traffic
from v2a_core.tables.schema import OK, REJECTED

_SECONDS = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0]


class RunMetrics:
    """Counts what arrives; Ray exports it to Prometheus as `ray_v2a_...`.

    Args:
        job: The job's name, a label of every series.
        stage_columns: Maps a stage to the column in which rows carry its seconds.
    """

    def __init__(self, job: str, stage_columns: Mapping[str, str]) -> None:
        self._columns = stage_columns
        self._before = Traffic()
        labels = {"job": job}
        self._done = _labelled(Counter("v2a_rows_done", "Segments or soundtracks done", tag_keys=("job",)), labels)
        self._rejects = _labelled(
            Counter("v2a_rejects", "Rejected rows by stage and reason", tag_keys=("job", "reason")), labels
        )
        self._bytes = _labelled(Counter("v2a_bytes_read", "Bytes read from storage", tag_keys=("job",)), labels)
        self._retries = _labelled(Counter("v2a_retries", "Storage requests tried again", tag_keys=("job",)), labels)
        self._seconds = _labelled(
            Histogram(
                "v2a_stage_seconds",
                "Seconds of a row in a stage: decode, or one of the models",
                boundaries=_SECONDS,
                tag_keys=("job", "stage"),
            ),
            labels,
        )

    def add(self, arrived: pa.Table, written: pa.Table, traffic: Traffic) -> None:
        """Report a batch.

        Args:
            arrived: The rows as the chain gave them.
            written: Those of them that were new.
            traffic: What the run has moved so far.
        """
        done = int(pc.sum(pc.equal(written["status"], OK)).as_py() or 0)
        if done:
            self._done.inc(done)
        rejected = written.filter(pc.equal(written["status"], REJECTED))
        for stage, kind in zip(rejected["reject_stage"].to_pylist(), rejected["reject_type"].to_pylist(), strict=True):
            self._rejects.inc(1, {"reason": f"{stage}: {kind}"})
        moved, self._before = traffic.since(self._before), traffic
        for counter, amount in ((self._bytes, moved.bytes_read), (self._retries, moved.retries)):
            if amount > 0:
                counter.inc(amount)
        for stage, column in self._columns.items():
            if column in arrived.schema.names:
                for seconds in arrived[column].to_pylist():
                    if seconds:
                        self._seconds.observe(seconds, {"stage": stage})


MetricT = TypeVar("MetricT", Counter, Histogram)


def _labelled(metric: MetricT, labels: dict[str, str]) -> MetricT:
    metric.set_default_tags(labels)
    return metric
