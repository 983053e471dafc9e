"""The frame of every training: check, plan, start Ray, claim the output, train, export, tell.

What refuses a run is told before Ray starts and before anything is written: a refused run leaves nothing behind.
"""

from __future__ import annotations

import abc
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, cast

from v2a_core import storage
from v2a_core.outputs import manifest
from v2a_core.outputs.lease import Lease, hold
from v2a_core.outputs.manifest import Manifest
from v2a_core.protocols import JSON
from v2a_core.storage.preflight import check_storage
from v2a_core.storage.trouble import stop, stops_run
from v2a_core.training import leftovers
from workflows.cluster_runtime import connection
from workflows.cluster_runtime.series import Run
from workflows.training import snapshot
from workflows.training.config import TrainingJob, TrainingStoppedError
from workflows.training.fit import Fitted, check_resources, fit
from workflows.training.progress import TrainingProgress, TrainingSeries
from workflows.training.summary import Checkpointed, TrainSummary, summarize
from workflows.training.work import JobT, Work

SUMMARY_FILE = "summary.json"
# Workers and threads change how fast it comes, not what comes.
BESIDE_IDENTITY: dict[str, Any] = {
    "scaling": True,
    "records": True,
    "storage": True,
    "output_storage": True,
    "training": {"checkpoints": {"keep"}},
}

_NOTHING: dict[str, Any] = {}


@dataclass(frozen=True)
class TrainRequest:
    """What is asked of one run of a training.

    Attributes:
        output: Folder or URI; a run that was cut short there goes on from its last checkpoint.
        limit: Take the first `limit` sources only.
        dry_run: Plan and check, do nothing.
        address: A running Ray cluster; Ray starts, or is connected to, only when there is something to do.
        steal: Take the output over from the run that owns it.
    """

    output: str
    limit: int | None = None
    dry_run: bool = False
    address: str | None = None
    steal: bool = False


@dataclass(frozen=True)
class Training(abc.ABC, Generic[JobT]):
    """What a training says of itself, when it is known what is learned from.

    Attributes:
        work: What workers do.
    """

    work: Work[JobT]

    @property
    @abc.abstractmethod
    def inputs(self) -> Sequence[str]:
        """What it reads, to be reached."""

    @property
    @abc.abstractmethod
    def file(self) -> str:
        """Name of the file of its weights."""

    @abc.abstractmethod
    def manifest(self, request: TrainRequest) -> Manifest:
        """What its result depends on."""

    @abc.abstractmethod
    def plan(self, checked: Mapping[str, object], *, finished: bool) -> dict[str, object]:
        """What a run would do; in a dry run, when Ray is there.

        Args:
            checked: What of the storage works.
            finished: Whether the output was trained before: then there is nothing to do.
        """

    @abc.abstractmethod
    def parameters(self) -> int:
        """Of what is trained."""

    @abc.abstractmethod
    def export(self, last: Checkpointed, summary: TrainSummary, claimed: Manifest) -> None:
        """Write what was trained.

        Args:
            last: Its state.
            summary: Of the run.
            claimed: The output's manifest.
        """

    @abc.abstractmethod
    def sentence(self, summary: TrainSummary) -> str:
        """The summary in one line."""


def run_training(request: TrainRequest, training: Training[JobT], started: float) -> dict[str, Any]:
    """Do what is left to do.

    Args:
        request: What is asked.
        training: What it is.
        started: When the command began, on the monotonic clock.

    Returns:
        The summary, as written to `summary.json`; for a dry run the plan.

    Raises:
        ConfigError: Wrong configuration, or an output that was made differently.
        TrainingStoppedError: When the training diverged (checkpoints are kept, the same command goes on from the last),
            or got no better for `validation.patience` (the best state is exported).
    """
    work = training.work
    mine = training.manifest(request)
    check_storage([], work.output, storage.in_use())
    finished = _finished(work.output, mine)
    if finished is not None and not request.dry_run:
        print(f"{work.name}: nothing to do, {work.output} was trained with this configuration before", flush=True)
        return finished
    checked = check_storage(training.inputs, work.output, storage.in_use())
    connection.connect(request.address)
    check_resources(work.job.scaling, streams=work.streams)
    if request.dry_run:
        return training.plan(checked, finished=finished is not None)
    try:
        with hold(work.output, work.name, steal=request.steal) as lease:
            summary = _train(training, mine, started, lease)
    except OSError as error:
        raise (stop(error) if stops_run(error, writing=True) else error) from None
    print(training.sentence(summary), flush=True)
    if summary["stopped"]:
        raise TrainingStoppedError(f"{summary['stopped']}; exported to {work.output}")
    return dict(summary)


def total_steps(work: Work[JobT]) -> int:
    """Steps of the run."""
    from v2a_core.training import loop

    return loop.total_steps(work.rows()["train"], work.job.training)


def identity_of(job: TrainingJob, beside: Mapping[str, Any] = _NOTHING) -> dict[str, JSON]:
    """What of a configuration decides the result.

    Args:
        job: The configuration.
        beside: What else does not, as pydantic's `exclude`.
    """
    return cast(dict[str, JSON], job.model_dump(exclude={**BESIDE_IDENTITY, **beside}))


def _train(training: Training[JobT], mine: Manifest, started: float, lease: Lease) -> TrainSummary:
    """From the output's last checkpoint to what is exported; returns the summary."""
    work = training.work
    claimed = manifest.open_output(work.output, mine)
    snapshot.mend(work.output, work.name)
    leftovers.abort_uploads(work.output)
    progress = TrainingProgress(total_steps(work), work.told)
    lease.tell(progress.lines)
    with TrainingSeries(Run.owning(work.name, work.output, lease), progress).reported():
        fitted = fit(work, progress)
    lease.check()
    summary = _export(training, fitted, claimed, time.monotonic() - started)
    storage.write_json(storage.join(work.output, SUMMARY_FILE), summary)
    manifest.close_output(work.output, claimed, cast(Mapping[str, JSON], summary))
    return summary


def _export(training: Training[JobT], fitted: Fitted, claimed: Manifest, seconds: float) -> TrainSummary:
    from v2a_core.training.checkpoint import best_weights

    work = training.work
    if fitted.checkpoint is None:
        raise TrainingStoppedError(f"{work.output} holds no checkpoint: the run ended before its first validation")
    with fitted.checkpoint.as_directory() as folder:
        last = Checkpointed(Path(folder), best_weights(Path(folder), training.file))
        summary = summarize(last, fitted.ended, work, training.parameters(), seconds)
        training.export(last, summary, claimed)
    return summary


def _finished(output: str, mine: Manifest) -> dict[str, Any] | None:
    """The summary of a finished run with the same configuration; None when there is something left to do.

    Raises:
        ConfigError: When the output was made with another one.
    """
    earlier = manifest.same(output, mine)
    if earlier is None or earlier.get("status") not in ("done", "stopped"):
        return None
    try:
        return dict(storage.read_json(storage.join(output, SUMMARY_FILE)))
    except FileNotFoundError:
        return None  # trained, and not all was written: the last checkpoint is exported again
