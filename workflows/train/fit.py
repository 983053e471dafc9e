"""The training run on Ray Train: the worker, how many there are, where checkpoints go, what is shown meanwhile."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pyarrow.fs
import ray
import ray.train
from ray.train.torch import TorchTrainer

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.storage import StorageAccess
from v2a_core.storage.trouble import StorageStopError, stop, stops_run
from v2a_core.tables.schema import EMBEDDING_DIM
from v2a_core.training import kept
from v2a_core.training.placement import Placement
from v2a_core.training.selection import Selection
from workflows.streaming.progress import RunProgress
from workflows.train.config import ScalingSettings, TrainingStoppedError, TrainJob
from workflows.train.report import Uploads, report, storage_trouble

if TYPE_CHECKING:
    from v2a_core.training.data import TrainingData
    from v2a_core.training.feed import Feed

POLL_S = 1.0
# Ray's controller takes in one report a poll: at its default of 2 s, the checkpoints of short epochs would queue up.
CONTROLLER_POLL_S = "0.2"


@dataclass(frozen=True)
class TrainWork:
    """What a worker needs.

    Attributes:
        selection: Which rows.
        spaces: Of the embeddings.
        job: The configuration.
        placement: Where the pairs are kept.
        output: Folder or URI, the same on every machine.
        cut: How the embeddings were cut into segments and frames.
    """

    selection: Selection
    spaces: dict[str, str]
    job: TrainJob
    placement: Placement
    output: str
    cut: dict[str, Any]

    def access(self) -> StorageAccess:
        """How files are reached."""
        return StorageAccess.of_job(self.job.storage, self.output, self.job.output_storage)


def train_worker(config: dict[str, Any]) -> dict[str, Any]:
    """One worker's whole run. Returns what stopped it, when trying again would not help."""
    import torch

    from v2a_core.compute.threads import prepare_torch
    from v2a_core.mappers import build
    from v2a_core.training.leftovers import scratch
    from v2a_core.training.loop import DivergedError, Trainer
    from v2a_core.training.records import Records

    work, board = config["work"], config["board"]
    job: TrainJob = work.job
    storage.set_process_default(work.access())
    prepare_torch(_threads(job.scaling))
    device = str(ray.train.torch.get_device())
    try:
        with contextlib.ExitStack() as scope:
            records = uploads = local = None
            if _rank() == 0:
                records = scope.enter_context(Records(work.output, job.records, job.model_dump()))
                local = scope.enter_context(scratch())
                uploads = scope.enter_context(Uploads(work.output))
            data = _load(work, device)
            torch.manual_seed(job.seed)
            model = build(job.mapper, EMBEDDING_DIM, work.selection.vision_dim).to(device)
            trainer = Trainer(
                model,
                data,
                job.training,
                seed=job.seed,
                device=device,
                report=functools.partial(report, records, uploads, board),
                on_progress=board.put.remote,
                feed=_feed(work, device, config["epoch_number"]),
                scratch=local,
            )
            last = ray.train.get_checkpoint()
            with last.as_directory() if last else contextlib.nullcontext() as folder:
                if records is not None:
                    records.begin(last_step(folder))
                trainer.run(Path(folder) if folder else None)
    except (ConfigError, DivergedError) as error:
        return {"stopped": str(error), "kind": "configuration" if isinstance(error, ConfigError) else "diverged"}
    except StorageStopError as error:
        return {"stopped": str(error), "kind": "storage"}
    except OSError as error:
        if not stops_run(error, writing=True):
            raise
        return {"stopped": str(stop(error)), "kind": "storage"}
    return {"stopped": trainer.stopped, "kind": "patience", "continued_from": trainer.continued_from}


def last_step(folder: str | None) -> int:
    """The step of a checkpoint; 0 without one."""
    from v2a_core.training.checkpoint import LOSSES_FILE, read_rows

    rows = read_rows(Path(folder) / LOSSES_FILE) if folder else []
    return int(rows[-1]["step"]) if rows else 0


def _load(work: TrainWork, device: str) -> TrainingData:
    from v2a_core.training.data import Shard, load

    context = ray.train.get_context()
    shard = Shard(context.get_world_rank(), context.get_world_size()) if work.placement == "sharded" else None
    return load(
        work.selection,
        work.spaces,
        work.job.mapper.aggregator,
        EMBEDDING_DIM,
        device=device,
        shard=shard,
        keep_train=work.placement != "stream",
    )


def _feed(work: TrainWork, device: str, number: Any) -> Feed | None:
    if number is None:
        return None
    from v2a_core.training.feed import StreamFeed
    from workflows.train.stream import open_epochs

    batches = open_epochs(work.job.training.global_batch, device, number)
    return StreamFeed(batches, work.selection.vision_dim, EMBEDDING_DIM, device)


def _rank() -> int:
    return int(ray.train.get_context().get_world_rank())


def fit(work: TrainWork, total_steps: int) -> Any:
    """Run the workers to the end, from the last checkpoint at the output if there is one.

    Returns:
        Ray's result: its checkpoints, and what the first worker returned.

    Raises:
        TrainingStoppedError: When the training diverged.
        ConfigError: When a worker found the data unusable.
    """
    job = work.job
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", CONTROLLER_POLL_S)
    board = ray.remote(num_cpus=0)(_Board).remote()
    worker: Any = train_worker  # it returns a value, of which Ray's annotation does not know
    datasets: dict[str, Any] | None = None
    dataset_config = number = None
    if work.placement == "stream":
        from workflows.train.stream import EpochNumber, UnevenSplit, training_rows

        number = ray.remote(num_cpus=0)(EpochNumber).remote()
        rows = training_rows(work.selection, work.spaces, job.mapper.aggregator, job.seed, number)
        datasets, dataset_config = {"train": rows}, UnevenSplit()
    trainer = _Trainer(
        worker,
        train_loop_config={"work": work, "board": board, "epoch_number": number},
        datasets=datasets,
        dataset_config=dataset_config,
        scaling_config=_scaling_config(job.scaling),
        run_config=_run_config(work.output, job),
    )
    with _Watch(board, total_steps):
        try:
            result: Any = trainer.fit()  # annotated as Tune's Result, which has less
        except ray.train.TrainingFailedError as error:
            raise storage_trouble(error) or error from None
    ended = result.return_value or {}
    if ended.get("stopped") and ended["kind"] != "patience":
        raise _ENDINGS[ended["kind"]](ended["stopped"])
    return result


class _Trainer(TorchTrainer):
    """Ctrl-C ends a training as it ends the other jobs, with KeyboardInterrupt.

    Ray Train's own handler takes the signal, stops the workers and exits with 0, and without a word.
    """

    def _register_sigint_handler(self, controller: Any) -> None:
        """Leave the handler as it is; the workers go when this process disconnects from Ray."""


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


def _run_config(output: str, job: TrainJob) -> ray.train.RunConfig:
    fs, path = storage.filesystem(output)
    remote = None if storage.is_local(output) else pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(fs))
    return ray.train.RunConfig(
        # The same name in the same place: Ray goes on from the last checkpoint there.
        name=kept.FOLDER,
        storage_path=str(path),
        storage_filesystem=remote,  # the program's own: one set of credentials and endpoints for everything
        failure_config=ray.train.FailureConfig(max_failures=job.scaling.max_failures),
        # The latest ones: the best mapper so far is in each.
        checkpoint_config=ray.train.CheckpointConfig(num_to_keep=job.training.checkpoints.keep),
    )


def check_resources(scaling: ScalingSettings, placement: Placement = "memory") -> None:
    """Refuse what would wait for ever."""
    if scaling.wait_for_resources:
        return
    has = ray.cluster_resources()
    workers = min(scaling.min_workers, scaling.workers) or scaling.workers
    needs = {"CPU": workers * scaling.cpus_per_worker, "GPU": workers * int(uses_gpu(scaling))}
    if placement == "stream":
        needs["CPU"] += 1  # beside the workers, somebody must read
    for name, amount in needs.items():
        if amount > has.get(name, 0):
            reading = " (1 of them to read the stream)" if placement == "stream" and name == "CPU" else ""
            raise ConfigError(
                f"scaling.workers = {workers} needs {amount:g} {name}{reading}, the cluster has "
                f"{has.get(name, 0):g}. For a cluster that grows on demand: --set scaling.wait_for_resources=true"
            )


def uses_gpu(scaling: ScalingSettings) -> bool:
    """Whether each worker gets a GPU."""
    return scaling.device == "gpu" or (scaling.device == "auto" and ray.cluster_resources().get("GPU", 0) > 0)


def _threads(scaling: ScalingSettings) -> int:
    """Torch threads of this worker. Ray limits it to the CPUs it reserved; training may use what the machine has."""
    here = ray.train.get_context().get_local_world_size()
    return scaling.threads or max(1, (os.cpu_count() or 1) // here)


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
