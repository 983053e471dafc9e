"""`v2a train`: embeddings -> a mapper."""

from __future__ import annotations

import itertools
import sys
import time
from typing import Any

from v2a_core import manifest, storage
from v2a_core.config import ConfigError
from v2a_core.mappers import METHODS, NETWORKS, count_parameters
from v2a_core.mappers.config import MapperSettings
from v2a_core.models import load_bundle
from v2a_core.preflight import check_storage
from v2a_core.schema import EMBEDDING_DIM
from v2a_core.storage import StorageAccess
from v2a_core.training import leftovers, placement
from v2a_core.training.config import TrainingSettings
from v2a_core.training.reading import read_manifest
from v2a_core.training.selection import Selection, select
from workflows import runtime, train_snapshot
from workflows.train_config import TrainingStoppedError, TrainJob
from workflows.train_export import export
from workflows.train_fit import TrainWork, check_resources, fit, uses_gpu


def run(
    embeddings: str,
    output: str,
    job: TrainJob,
    *,
    models: str | None = None,
    limit: int | None = None,
    dry_run: bool = False,
    address: str | None = None,
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

    Returns:
        The summary, as written to `summary.json`; the plan for a dry run.

    Raises:
        ConfigError: Wrong configuration, embeddings that cannot be used, or an output that was made differently.
        TrainingStoppedError: When the training diverged (checkpoints are kept, the same command goes on from the last),
            or got no better for `validation.patience` (the best mapper is exported).
    """
    started = time.monotonic()
    access = StorageAccess(job.storage)
    storage.use(access)
    # Workers do not stand where the command was given.
    given, embeddings, output = embeddings, storage.canonical(embeddings), storage.canonical(output)
    made_by = read_manifest(embeddings, job.data)
    _check_models(models, made_by, embeddings)
    selection = select(embeddings, job.data, limit)
    mine = _manifest(job, made_by, selection, limit)
    check_storage([], output, access)
    finished = _finished(output, mine)
    if dry_run:
        runtime.connect(address)
        check_resources(job.scaling, _placement(selection, job))
        return show_plan(_plan(given, selection, job))
    if finished is not None:
        print(f"train: nothing to do, {output} was trained with this configuration before", flush=True)
        return finished
    runtime.connect(address)
    work = TrainWork(selection, made_by["spaces"], job, _placement(selection, job), output)
    check_resources(job.scaling, work.placement)
    claimed = manifest.open_output(output, mine)
    train_snapshot.mend(output)
    leftovers.abort_uploads(output)
    result = fit(work, _steps(selection, job.training))
    summary = export(result, work, claimed, given, time.monotonic() - started)
    storage.write_json(storage.join(output, "summary.json"), summary)
    manifest.close_output(output, claimed, summary)
    print(sentence(summary), flush=True)
    if summary["stopped"]:
        raise TrainingStoppedError(f"{summary['stopped']}; exported to {output}")
    return summary


def plan(embeddings: str, job: TrainJob, limit: int | None = None) -> dict[str, Any]:
    """What a run would do: rows by split and by reason for leaving out, parameters, steps, resources."""
    read_manifest(embeddings, job.data)
    return _plan(embeddings, select(embeddings, job.data, limit), job)


def show_plan(planned: dict[str, Any]) -> dict[str, Any]:
    """Print a plan."""
    for name, value in planned.items():
        if name == "mapper_parameters":
            continue
        text = ", ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, dict) else value
        print(f"{name:>16}: {text}", flush=True)
    print(f"\n{'mapper':>28}  parameters")
    for name, parameters in planned["mapper_parameters"].items():
        print(f"{name:>28}  {parameters:>10,}", flush=True)
    return planned


def sentence(summary: dict[str, Any]) -> str:
    """The summary in one line."""
    best, counts = summary["best"], summary["counts"]
    left_out = ", ".join(f"{count} {reason}" for reason, count in counts["left_out"].items() if count) or "none"
    again = f", continued from step {summary['continued_from']}" if summary["continued_from"] else ""
    return (
        f"train: {summary['status']}, {summary['steps']} steps on {counts['train']} pairs in "
        f"{summary['seconds']['total']:.1f} s ({summary['pairs_per_second']:.0f} pairs/s){again}; best at epoch "
        f"{best['epoch']}: loss {best['validation_loss']:.4f}, cosine {best['validation_cosine']:.3f} on "
        f"{counts['validation']} pairs; left out: {left_out} -> {summary['output']}"
    )


def _manifest(job: TrainJob, made_by: dict[str, Any], selection: Selection, limit: int | None) -> dict[str, Any]:
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
                    "data": {"placement", "worker_memory_gib"},
                    "training": {"checkpoints": {"keep"}},
                }
            ),
        },
        config=job.model_dump(),
        bundle=made_by.get("bundle", {}),
        spaces=made_by["spaces"],
    )


def _finished(output: str, mine: dict[str, Any]) -> dict[str, Any] | None:
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


def _plan(embeddings: str, selection: Selection, job: TrainJob) -> dict[str, Any]:
    from v2a_core.training.loop import steps_per_epoch

    rows = selection.counts()
    return {
        "job": "train",
        "embeddings": embeddings,
        "rows": rows,
        "left_out": selection.left_out,
        "mapper": f"{job.mapper.method.kind} {job.mapper.network.kind}, {job.mapper.aggregator} frame",
        "parameters": count_parameters(job.mapper, vision_dim=selection.vision_dim),
        "mapper_parameters": _parameter_table(job, selection.vision_dim),
        "steps_per_epoch": steps_per_epoch(rows["train"], job.training),
        "steps": _steps(selection, job.training),
        "placement": f"{_placement(selection, job)} ({_gib(selection, job):.2f} GiB of pairs)",
        "resources": {
            "workers": job.scaling.workers,
            "cpus_per_worker": job.scaling.cpus_per_worker,
            "gpus_per_worker": int(uses_gpu(job.scaling)),
        },
    }


def _parameter_table(job: TrainJob, vision_dim: int) -> dict[str, int]:
    """Parameters of this run's mapper, and of each shipped one."""
    table = {"this run's": count_parameters(job.mapper, vision_dim=vision_dim)}
    for method, network in itertools.product(METHODS, NETWORKS):
        settings = MapperSettings.model_validate({"method": {"kind": method}, "network": {"kind": network}})
        table[f"{method} {network}"] = count_parameters(settings, vision_dim=vision_dim)
    return table


def _placement(selection: Selection, job: TrainJob) -> placement.Placement:
    return placement.choose(selection, job.data, job.mapper.aggregator, EMBEDDING_DIM, job.scaling.workers)


def _gib(selection: Selection, job: TrainJob) -> float:
    return placement.pair_bytes(selection, job.mapper.aggregator, EMBEDDING_DIM) / 2**30


def _steps(selection: Selection, settings: TrainingSettings) -> int:
    from v2a_core.training.loop import total_steps

    return total_steps(selection.counts()["train"], settings)


def _check_models(models: str | None, made_by: dict[str, Any], embeddings: str) -> None:
    has = made_by.get("bundle", {}).get("name")
    if models is None:
        return
    needs = load_bundle(models).name
    if has != needs:
        raise ConfigError(f"{embeddings} was made with the bundle {has!r}, --models asks for {needs!r}")


if __name__ == "__main__":
    from workflows.cli import main

    raise SystemExit(main(["train", *sys.argv[1:]]))
