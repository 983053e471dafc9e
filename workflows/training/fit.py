"""The training run on Ray Train: the worker, how many there are, where checkpoints go."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow.fs
import ray
import ray.train
from ray.data import Dataset
from ray.train.torch import TorchTrainer

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.storage.trouble import StorageStopError
from v2a_core.training import kept
from workflows.cluster_runtime import ray_private
from workflows.training.board import Board, EpochNumber
from workflows.training.config import ScalingSettings, TrainingJob, TrainingStoppedError
from workflows.training.progress import TrainingProgress, Watch
from workflows.training.report import storage_trouble
from workflows.training.split import UnevenSplit
from workflows.training.work import Ended, Work
from workflows.training.worker import train_worker

# Ray's controller takes in one report a poll: at its default of 2 s, the checkpoints of short epochs would queue up.
CONTROLLER_POLL_S = "0.2"


@dataclass(frozen=True)
class Fitted:
    """A training that ended.

    Attributes:
        checkpoint: The last one at the output; None: it ended before its first validation.
        ended: How, as the first worker said.
    """

    checkpoint: ray.train.Checkpoint | None
    ended: Ended


def fit(work: Work[Any], progress: TrainingProgress) -> Fitted:
    """Run the workers to the end, from the last checkpoint at the output if there is one.

    Args:
        work: What they do.
        progress: Gets how far they are, meanwhile.

    Raises:
        TrainingStoppedError: When the training diverged.
        ConfigError: When a worker found the data unusable.
        StorageStopError: When the output takes no more.
    """
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", CONTROLLER_POLL_S)
    board = Board.start()
    trainer = _trainer(work, board)
    ray_private.leave_sigint(trainer)
    with Watch(work.name, progress, board):
        try:
            result = trainer.fit()
        except ray.train.TrainingFailedError as error:
            raise storage_trouble(error) or error from None
    ended = returned(result)
    if ended.stopped and ended.kind != "patience":
        raise _ENDINGS[ended.kind](ended.stopped)
    return Fitted(result.checkpoint, ended)


def returned(result: object) -> Ended:
    """What the first worker returned; Ray annotates what `fit` gives as Tune's Result, which has no such thing."""
    ended = getattr(result, "return_value", None)
    return ended if isinstance(ended, Ended) else Ended(None, "patience")


def _trainer(work: Work[Any], board: Board) -> TorchTrainer:
    job, number, split = work.job, None, None
    datasets: dict[str, Dataset | Callable[[], Dataset]] | None = None
    if work.streams:
        number = EpochNumber.start()
        datasets, split = {"train": work.stream(number)}, UnevenSplit()
    worker: Any = functools.partial(train_worker, work, board, number)  # it returns a value, unlike Ray's annotation
    return TorchTrainer(
        worker,
        datasets=datasets,
        dataset_config=split,
        scaling_config=_scaling_config(job.scaling),
        run_config=_run_config(work.output, job),
    )


_ENDINGS = {"configuration": ConfigError, "diverged": TrainingStoppedError, "storage": StorageStopError}


def _scaling_config(scaling: ScalingSettings) -> ray.train.ScalingConfig:
    elastic = 0 < scaling.min_workers < scaling.workers
    # Annotated as Tune's, which is not elastic.
    workers: Any = (scaling.min_workers, scaling.workers) if elastic else scaling.workers
    return ray.train.ScalingConfig(
        num_workers=workers,
        use_gpu=uses_gpu(scaling),
        resources_per_worker={"CPU": scaling.cpus_per_worker, **({"GPU": 1} if uses_gpu(scaling) else {})},
    )


def _run_config(output: str, job: TrainingJob) -> ray.train.RunConfig:
    fs, path = storage.filesystem(output)
    remote = None if storage.is_local(output) else pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(fs))
    return ray.train.RunConfig(
        # The same name in the same place: Ray goes on from the last checkpoint there.
        name=kept.FOLDER,
        storage_path=str(path),
        storage_filesystem=remote,  # the program's own: one set of credentials and endpoints for everything
        failure_config=ray.train.FailureConfig(max_failures=job.scaling.max_failures),
        # The latest ones: the best state so far is in each.
        checkpoint_config=ray.train.CheckpointConfig(num_to_keep=job.training.checkpoints.keep),
    )


def check_resources(scaling: ScalingSettings, *, streams: bool = False) -> None:
    """Refuse what would wait for ever."""
    if scaling.wait_for_resources:
        return
    has = ray.cluster_resources()
    workers = min(scaling.min_workers, scaling.workers) or scaling.workers
    needs = {"CPU": workers * scaling.cpus_per_worker, "GPU": workers * int(uses_gpu(scaling))}
    if streams:
        needs["CPU"] += 1  # beside the workers, somebody must read
    for name, amount in needs.items():
        if amount > has.get(name, 0):
            reading = " (1 of them to read the stream)" if streams and name == "CPU" else ""
            raise ConfigError(
                f"scaling.workers = {workers} needs {amount:g} {name}{reading}, the cluster has "
                f"{has.get(name, 0):g}. For a cluster that grows on demand: --set scaling.wait_for_resources=true"
            )


def uses_gpu(scaling: ScalingSettings) -> bool:
    """Whether each worker gets a GPU."""
    return scaling.device == "gpu" or (scaling.device == "auto" and ray.cluster_resources().get("GPU", 0) > 0)
