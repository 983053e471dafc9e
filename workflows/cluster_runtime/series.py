"""Series of a run in a cluster's monitoring: metrics of `ray.util.metrics`, reported by the driver.

Ray exports each as `ray_<name>`, and a counter as `ray_<name>_total`, where the driver runs. A gauge that is not set
anew is gone after some 20 s: a run sets its own from a thread, whatever else it waits for, and those of a run that has
ended, or was killed, go by themselves. So the gauges of a run are there while it is at work.
"""

from __future__ import annotations

import contextlib
import os
import string
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from ray.util.metrics import Counter, Gauge, Histogram

from v2a_core.compute.threads import every
from v2a_core.outputs.lease import Lease
from v2a_core.storage.public import public
from v2a_core.version import commit

REPORT_S = 5.0  # Ray gathers every 10 s
_LABELS = ("v2a_job", "run")  # `job` is a label that Prometheus itself sets
_RUN_DIGITS = 12  # enough that no two runs of a cluster are called alike

MetricT = TypeVar("MetricT", Counter, Gauge, Histogram)


@dataclass(frozen=True)
class Run:
    """A run as its series name it.

    Attributes:
        job: The job's name; the label `v2a_job`.
        name: What tells the run from every other; the label `run`.
        output: Folder or URI without credentials, a label of `v2a_run_info` only; see `label`.
    """

    job: str
    name: str
    output: str

    @classmethod
    def owning(cls, job: str, output: str, lease: Lease) -> Run:
        """The run of a job that owns an output."""
        return cls(job, lease.run[:_RUN_DIGITS], public(output))


class RunSeries:
    """What every run says of itself; a kind of run adds its own series.

    Args:
        run: Which.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self.started = time.time()
        self._info = self.gauge("v2a_run_info", "1 while a run is at work", "output", "commit")
        self._began = self.gauge("v2a_run_started_timestamp_seconds", "When the run began to stream or to train")
        self._memory = self.gauge("v2a_driver_resident_memory_bytes", "Memory of the process that runs the job")

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
        self._info.set(1, {"output": label(self._run.output), "commit": commit()})
        self._began.set(self.started)
        memory = resident_bytes()
        if memory is not None:
            self._memory.set(memory)

    def counter(self, name: str, meaning: str, *labels: str) -> Counter:
        """A counter of this run."""
        return self._labelled(Counter(name, meaning, tag_keys=(*_LABELS, *labels)))

    def gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        """A gauge of this run."""
        return self._labelled(Gauge(name, meaning, tag_keys=(*_LABELS, *labels)))

    def histogram(self, name: str, meaning: str, boundaries: Sequence[float], *labels: str) -> Histogram:
        """A histogram of this run."""
        return self._labelled(Histogram(name, meaning, list(boundaries), tag_keys=(*_LABELS, *labels)))

    def _labelled(self, metric: MetricT) -> MetricT:
        metric.set_default_tags({"v2a_job": self._run.job, "run": self._run.name})
        return metric


def label(text: str) -> str:
    """A name as the value of a label, which Ray wants to be ASCII: what else it has is percent-encoded, as in a URI."""
    return quote(text, safe=string.punctuation + " ")


def resident_bytes() -> int | None:
    """Memory that this process holds; None where the system does not tell."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None
