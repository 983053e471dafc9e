"""`v2a train`: embeddings -> a mapper."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow.fs
import ray
import ray.train
from ray.train.torch import TorchTrainer

from v2a_core import __version__, manifest, storage
from v2a_core.config import ConfigError
from v2a_core.mappers import count_parameters
from v2a_core.mappers.config import MapperConfig
from v2a_core.models import load_bundle
from v2a_core.schema import EMBEDDING_DIM
from v2a_core.training.config import TrainingSettings
from v2a_core.training.data import read_manifest
from v2a_core.training.selection import Selection, select
from workflows.progress import RunProgress
from workflows.train_config import ScalingSettings, TrainJob

CHECKPOINTS = "checkpoints"
CURVES_FILE = "curves.png"
POLL_S = 1.0
# Ray's controller takes in one report a poll: at its default of 2 s, the checkpoints of short epochs would queue up.
CONTROLLER_POLL_S = "0.2"


class TrainingStoppedError(RuntimeError):
    """The run cannot go on; the message says why and what is kept."""


def run(
    embeddings: str,
    output: str,
    job: TrainJob,
    *,
    models: str | None = None,
    limit: int | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Train a mapper, or go on training it, and export its best state.

    Args:
        embeddings: Folder or URI that `v2a embed` wrote.
        output: Folder or URI of the mapper; a run that was cut short there goes on from its last checkpoint.
        job: The configuration.
        models: A bundle that the embeddings must be of; None takes any.
        limit: Take the first `limit` sources only.
        dry_run: Plan and check, do nothing.

    Returns:
        The summary, as written to `summary.json`; the plan for a dry run.

    Raises:
        ConfigError: Wrong configuration, embeddings that cannot be used, or an output that was made differently.
        TrainingStoppedError: When the training diverged; checkpoints are kept.
    """
    started = time.monotonic()
    made_by = read_manifest(embeddings, job.data)
    _check_models(models, made_by, embeddings)
    selection = select(embeddings, job.data, limit)
    _check_resources(job.scaling)
    if dry_run:
        return show_plan(_plan(embeddings, selection, job))
    output = storage.canonical(output)
    mine = _manifest(job, made_by, selection, limit)
    finished = _finished(output, mine)
    if finished is not None:
        print(f"train: nothing to do, {output} was trained with this configuration before", flush=True)
        return finished
    claimed = manifest.open_output(output, mine)
    result = _fit(output, _Work(selection, made_by["spaces"], job))
    summary = _export(output, result, job, claimed, time.monotonic() - started)
    storage.write_json(storage.join(output, "summary.json"), summary)
    manifest.close_output(output, claimed, summary)
    print(sentence(summary), flush=True)
    return summary


def plan(embeddings: str, job: TrainJob, limit: int | None = None) -> dict[str, Any]:
    """What a run would do: rows by split and by reason for leaving out, parameters, steps, resources."""
    read_manifest(embeddings, job.data)
    return _plan(embeddings, select(embeddings, job.data, limit), job)


def show_plan(planned: dict[str, Any]) -> dict[str, Any]:
    """Print a plan."""
    for name, value in planned.items():
        text = ", ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, dict) else value
        print(f"{name:>16}: {text}", flush=True)
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


@dataclass(frozen=True)
class _Work:
    """What a worker needs."""

    selection: Selection
    spaces: dict[str, str]
    job: TrainJob


def _train_worker(config: dict[str, Any]) -> dict[str, Any]:
    """One worker's whole run. Returns what stopped it, when trying again would not help."""
    import torch

    from v2a_core.mappers import build
    from v2a_core.training.data import load
    from v2a_core.training.loop import DivergedError, Trainer

    work, board = config["work"], config["board"]
    job: TrainJob = work.job
    torch.set_num_threads(_threads(job.scaling))
    device = str(ray.train.torch.get_device())

    def report(metrics: dict[str, Any], folder: Path | None) -> None:
        checkpoint = ray.train.Checkpoint.from_directory(folder) if folder is not None else None
        ray.train.report(metrics, checkpoint=checkpoint)
        if folder is not None:
            board.put.remote(metrics)

    try:
        data = load(work.selection, work.spaces, job.mapper.aggregator, EMBEDDING_DIM, device=device)
        torch.manual_seed(job.seed)
        model = build(job.mapper).to(device)
        trainer = Trainer(
            model, data, job.training, seed=job.seed, device=device, report=report, on_progress=board.put.remote
        )
        last = ray.train.get_checkpoint()
        with last.as_directory() if last else contextlib.nullcontext() as folder:
            trainer.run(Path(folder) if folder else None)
    except (ConfigError, DivergedError) as error:
        return {"stopped": str(error), "bad_configuration": isinstance(error, ConfigError)}
    return {"stopped": None, "continued_from": trainer.continued_from}


def _fit(output: str, work: _Work) -> Any:
    job = work.job
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", CONTROLLER_POLL_S)
    board = ray.remote(num_cpus=0)(_Board).remote()
    worker: Any = _train_worker  # it returns a value, of which Ray's annotation does not know
    trainer = TorchTrainer(
        worker,
        train_loop_config={"work": work, "board": board},
        scaling_config=ray.train.ScalingConfig(
            num_workers=job.scaling.workers,
            use_gpu=_use_gpu(job.scaling),
            resources_per_worker={"CPU": job.scaling.cpus_per_worker, **({"GPU": 1} if _use_gpu(job.scaling) else {})},
        ),
        run_config=_run_config(output, job),
    )
    with _Watch(board, _steps(work.selection, job.training)):
        result: Any = trainer.fit()  # annotated as Tune's Result, which has less
    ended = result.return_value or {}
    if ended.get("stopped"):
        raise (ConfigError if ended["bad_configuration"] else TrainingStoppedError)(ended["stopped"])
    return result


def _run_config(output: str, job: TrainJob) -> ray.train.RunConfig:
    fs, path = storage.filesystem(output)
    remote = None if storage.is_local(output) else pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(fs))
    return ray.train.RunConfig(
        # The same name in the same place: Ray goes on from the last checkpoint there.
        name=CHECKPOINTS,
        storage_path=str(path),
        storage_filesystem=remote,  # the program's own: one set of credentials and endpoints for everything
        failure_config=ray.train.FailureConfig(max_failures=job.scaling.max_failures),
        # Ray keeps the latest one in any case.
        checkpoint_config=ray.train.CheckpointConfig(
            num_to_keep=1, checkpoint_score_attribute="score", checkpoint_score_order="max"
        ),
    )


def _export(output: str, result: Any, job: TrainJob, claimed: dict[str, Any], seconds: float) -> dict[str, Any]:
    from v2a_core.mappers.export import WEIGHTS_FILE, fingerprint_of, save_mapper
    from v2a_core.training.checkpoint import FACTS_FILE, METRICS_FILE, read_history
    from v2a_core.training.curves import draw_curves

    if result.checkpoint is None or not result.best_checkpoints:
        raise TrainingStoppedError(f"{output} holds no checkpoint: the run ended before its first validation")
    best_checkpoint, best = max(result.best_checkpoints, key=lambda item: item[1]["score"])
    with result.checkpoint.as_directory() as folder:
        history = read_history(Path(folder) / METRICS_FILE)
        facts = storage.read_json(str(Path(folder) / FACTS_FILE))
        storage.write_bytes(storage.join(output, METRICS_FILE), (Path(folder) / METRICS_FILE).read_bytes())
    with storage.writing(storage.join(output, CURVES_FILE)) as path:
        draw_curves(history, path)
    parameters = count_parameters(job.mapper)
    last = history[-1]
    summary = {
        "job": "train",
        "status": "done",
        "output": output,
        "counts": {**facts["rows"], "left_out": facts["left_out"]},
        "parameters": parameters,
        "steps": last["step"],
        "epochs": last["epoch"],
        "continued_from": (result.return_value or {}).get("continued_from", 0),
        "best": best,
        "last": last,
        "seconds": {"total": round(seconds, 2), "training": last["seconds"]},
        "pairs_per_second": round(last["pairs_per_second"], 1),
    }
    with best_checkpoint.as_directory() as folder:
        weights = Path(folder) / WEIGHTS_FILE
        summary["fingerprint"] = fingerprint_of(weights)
        save_mapper(output, weights, _mapper_config(job, claimed, summary))
    return summary


def _mapper_config(job: TrainJob, claimed: dict[str, Any], summary: dict[str, Any]) -> MapperConfig:
    told = ("counts", "steps", "epochs", "best", "seconds")
    return MapperConfig(
        program={"name": "v2a", "version": __version__},
        mapper=job.mapper,
        embedding_dim=EMBEDDING_DIM,
        vision_space=claimed["spaces"]["vision"],
        audio_space=claimed["spaces"]["audio"],
        parameters=summary["parameters"],
        training={**{key: summary[key] for key in told}, "seed": job.seed, "settings": job.training.model_dump()},
    )


class _Board:
    """An actor that holds the latest news of the first worker."""

    def __init__(self) -> None:
        self._news: dict[str, Any] = {}

    def put(self, news: dict[str, Any]) -> None:
        self._news = {**self._news, **news}

    def news(self) -> dict[str, Any]:
        return self._news


class _Watch:
    """Shows the news while `fit` blocks."""

    def __init__(self, board: Any, total_steps: int) -> None:
        self._board, self._total = board, total_steps
        self._news: dict[str, Any] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _show(self) -> None:
        with RunProgress("train", self._total, self._counts) as bar:
            while not self._stop.wait(POLL_S):
                with contextlib.suppress(ray.exceptions.RayError):  # the next poll may find it
                    self._news = ray.get(self._board.news.remote(), timeout=10)
                bar.update(self._news.get("step", 0))

    def _counts(self) -> dict[str, Any]:
        names = ("epoch", "train_loss", "validation_loss", "validation_cosine")
        return {name: round(self._news[name], 4) for name in names if name in self._news}


def _manifest(job: TrainJob, made_by: dict[str, Any], selection: Selection, limit: int | None) -> dict[str, Any]:
    return manifest.new(
        "train",
        identity={
            "embeddings": selection.fingerprint(),
            "spaces": made_by["spaces"],
            "limit": limit,
            # Workers and threads change how fast it comes, not what comes.
            **job.model_dump(exclude={"scaling"}),
        },
        config=job.model_dump(),
        bundle=made_by.get("bundle", {}),
        spaces=made_by["spaces"],
    )


def _finished(output: str, mine: dict[str, Any]) -> dict[str, Any] | None:
    """The summary of a finished run with the same configuration."""
    try:
        earlier = storage.read_json(storage.join(output, manifest.FILE_NAME))
    except FileNotFoundError:
        return None
    same = all(earlier.get(key) == mine[key] for key in ("job", "schema_version", "identity"))
    if not same or earlier.get("status") != "done":
        return None
    return dict(storage.read_json(storage.join(output, "summary.json")))


def _plan(embeddings: str, selection: Selection, job: TrainJob) -> dict[str, Any]:
    from v2a_core.training.loop import steps_per_epoch

    rows = selection.counts()
    return {
        "job": "train",
        "embeddings": embeddings,
        "rows": rows,
        "left_out": selection.left_out,
        "mapper": f"{job.mapper.method.kind} {job.mapper.network.kind}, {job.mapper.aggregator} frame",
        "parameters": count_parameters(job.mapper),
        "steps_per_epoch": steps_per_epoch(rows["train"], job.training),
        "steps": _steps(selection, job.training),
        "resources": {
            "workers": job.scaling.workers,
            "cpus_per_worker": job.scaling.cpus_per_worker,
            "gpus_per_worker": int(_use_gpu(job.scaling)),
        },
    }


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


def _check_resources(scaling: ScalingSettings) -> None:
    """Refuse what would wait for ever."""
    if scaling.wait_for_resources:
        return
    has = ray.cluster_resources()
    needs = {"CPU": scaling.workers * scaling.cpus_per_worker, "GPU": scaling.workers * int(_use_gpu(scaling))}
    for name, amount in needs.items():
        if amount > has.get(name, 0):
            raise ConfigError(
                f"scaling.workers = {scaling.workers} needs {amount:g} {name}, the cluster has {has.get(name, 0):g}. "
                "For a cluster that grows on demand: --set scaling.wait_for_resources=true"
            )


def _use_gpu(scaling: ScalingSettings) -> bool:
    return scaling.device == "gpu" or (scaling.device == "auto" and ray.cluster_resources().get("GPU", 0) > 0)


def _threads(scaling: ScalingSettings) -> int:
    """Torch threads of this worker. Ray limits it to the CPUs it reserved; training may use what the machine has."""
    here = ray.train.get_context().get_local_world_size()
    return scaling.threads or max(1, (os.cpu_count() or 1) // here)


if __name__ == "__main__":
    from workflows.cli import main

    raise SystemExit(main(["train", *sys.argv[1:]]))
