"""`v2a train`: embeddings -> a mapper."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.models import load_bundle
from v2a_core.outputs import manifest
from v2a_core.outputs.lease import Lease, hold
from v2a_core.outputs.manifest import Manifest
from v2a_core.protocols import JSON
from v2a_core.storage import StorageAccess
from v2a_core.storage.preflight import check_storage
from v2a_core.storage.trouble import stop, stops_run
from v2a_core.tables.schema import EMBEDDING_DIM
from v2a_core.training import leftovers, placement
from v2a_core.training.reading import read_manifest
from v2a_core.training.selection import Selection, select
from workflows.cluster_runtime import connection
from workflows.train import plan as train_plan
from workflows.train import snapshot as train_snapshot
from workflows.train.config import TrainingStoppedError, TrainJob
from workflows.train.export import export
from workflows.train.fit import check_resources, fit
from workflows.train.summary import TrainSummary, sentence
from workflows.train.work import TrainWork


def run(
    embeddings: str,
    output: str,
    job: TrainJob,
    *,
    models: str | None = None,
    limit: int | None = None,
    dry_run: bool = False,
    address: str | None = None,
    steal: bool = False,
) -> dict[str, Any]:
    """Train a mapper, or go on training it, and export its best state.

    Args:
        embeddings: Folder or URI that `v2a embed` wrote.
        output: Folder or URI of the mapper; a run that was cut short there goes on from its last checkpoint.
        job: The configuration.
        models: A bundle that the embeddings must be of; None takes any.
        limit: Take the first `limit` sources only.
        dry_run: Plan and check, do nothing.
        address: A running Ray cluster; Ray starts, or is connected to, only when there is something to do.
        steal: Take the output over from the run that owns it.

    Returns:
        The summary, as written to `summary.json`; for a dry run the plan, which `v2a train` prints.

    Raises:
        ConfigError: Wrong configuration, embeddings that cannot be used, or an output that was made differently.
        TrainingStoppedError: When the training diverged (checkpoints are kept, the same command goes on from the last),
            or got no better for `validation.patience` (the best mapper is exported).
    """
    request = TrainRequest(embeddings, output, job, models, limit, dry_run, address, steal)
    with storage.reach(StorageAccess.of_job(job.storage, output, job.output_storage)):
        return _run(request, time.monotonic())


@dataclass(frozen=True)
class TrainRequest:
    """What is asked of one run; see `run`."""

    embeddings: str
    output: str
    job: TrainJob
    models: str | None
    limit: int | None
    dry_run: bool
    address: str | None
    steal: bool


def _run(request: TrainRequest, started: float) -> dict[str, Any]:
    """Check, and do what is left to do; what is refused is refused before Ray starts and before anything is written."""
    job = request.job
    # Workers do not stand where the command was given.
    embeddings, output = storage.canonical(request.embeddings), storage.canonical(request.output)
    made_by = read_manifest(embeddings, job.data)
    _check_models(request.models, made_by, embeddings)
    selection = select(embeddings, job.data, request.limit)
    place = placement.choose(selection, job.data, job.mapper.aggregator, EMBEDDING_DIM, job.scaling.workers)
    work = TrainWork(selection, made_by["spaces"], job, place, output, _cut(made_by))
    mine = _manifest(job, made_by, selection, request.limit)
    check_storage([], output, storage.in_use())
    finished = _finished(output, mine)
    if finished is not None and not request.dry_run:
        print(f"train: nothing to do, {output} was trained with this configuration before", flush=True)
        return finished
    checked = check_storage([embeddings], output, storage.in_use())
    connection.connect(request.address)
    check_resources(job.scaling, place)
    if request.dry_run:
        return train_plan.plan(request.embeddings, work, checked, finished=finished is not None)
    try:
        with hold(output, "train", steal=request.steal) as lease:
            summary = _train(work, mine, request.embeddings, started, lease)
    except OSError as error:
        raise (stop(error) if stops_run(error, writing=True) else error) from None
    print(sentence(summary), flush=True)
    if summary["stopped"]:
        raise TrainingStoppedError(f"{summary['stopped']}; exported to {output}")
    return dict(summary)


def _train(work: TrainWork, mine: Manifest, given: str, started: float, lease: Lease) -> TrainSummary:
    """From the output's last checkpoint to its mapper; returns the summary."""
    claimed = manifest.open_output(work.output, mine)
    train_snapshot.mend(work.output)
    leftovers.abort_uploads(work.output)
    result = fit(work, train_plan.steps(work.selection, work.job.training))
    lease.check()
    summary = export(result, work, claimed, given, time.monotonic() - started)
    storage.write_json(storage.join(work.output, "summary.json"), summary)
    manifest.close_output(work.output, claimed, cast(Mapping[str, JSON], summary))
    return summary


def _manifest(job: TrainJob, made_by: Manifest, selection: Selection, limit: int | None) -> Manifest:
    return manifest.new(
        "train",
        identity={
            "embeddings": selection.fingerprint(),
            "spaces": made_by["spaces"],
            "limit": limit,
            # Workers and threads change how fast it comes, not what comes.
            **job.model_dump(
                exclude={
                    "scaling": True,
                    "records": True,
                    "storage": True,
                    "output_storage": True,
                    "data": {"placement", "worker_memory_gib"},
                    "training": {"checkpoints": {"keep"}},
                }
            ),
        },
        config=job.model_dump(),
        bundle=made_by.get("bundle", {}),
        spaces=made_by["spaces"],
    )


def _finished(output: str, mine: Manifest) -> dict[str, Any] | None:
    """The summary of a finished run with the same configuration; None when there is something left to do.

    Raises:
        ConfigError: When the output was made with another one.
    """
    earlier = manifest.same(output, mine)
    if earlier is None or earlier.get("status") not in ("done", "stopped"):
        return None
    try:
        return dict(storage.read_json(storage.join(output, "summary.json")))
    except FileNotFoundError:
        return None  # trained, and not all was written: the last checkpoint is exported again


def _cut(made_by: Manifest) -> dict[str, JSON]:
    """How the embeddings were cut and sampled, for whoever uses the mapper on others."""
    identity: Mapping[str, JSON] = made_by.get("identity") or {}
    wanted = {"segments": ("length_s", "whole"), "frames": ("frames_per_second",)}
    return {
        f"{group}.{name}": manifest.group(identity, group)[name]
        for group, names in wanted.items()
        for name in names
        if name in manifest.group(identity, group)
    }


def _check_models(models: str | None, made_by: Manifest, embeddings: str) -> None:
    has = made_by.get("bundle", {}).get("name")
    if models is None:
        return
    needs = load_bundle(models).name
    if has != needs:
        raise ConfigError(f"{embeddings} was made with the bundle {has!r}, --models asks for {needs!r}")
