"""The settings that all trainings have; a job's own are added to them."""

from __future__ import annotations

from typing import Literal

from v2a_core.config import Settings, setting
from v2a_core.storage.config import StorageSettings, output_storage
from v2a_core.training.config import LoopSettings, RecordSettings


class TrainingStoppedError(RuntimeError):
    """The run ended before its last step; the message says why and what is kept."""


class ScalingSettings(Settings):
    """Workers of the run."""

    workers: int = setting(1, "training workers; the global batch is shared among them", ge=1, le=4096)
    min_workers: int = setting(0, "go on with as few as this when nodes are lost or late (0: all workers)", ge=0)
    device: Literal["auto", "cpu", "gpu"] = setting("auto", "auto: a GPU a worker where the cluster has one")
    cpus_per_worker: float = setting(1.0, "CPUs reserved for a worker", unit="CPU", gt=0)
    threads: int = setting(0, "torch threads of a worker (0: the machine's cores shared among its workers)", ge=0)
    wait_for_resources: bool = setting(False, "wait for workers that the cluster cannot place yet (autoscaling)")
    max_failures: int = setting(3, "crashed attempts that are followed by another, from the last checkpoint", ge=0)


class TrainingJob(Settings):
    """How any training runs."""

    seed: int = setting(0, "weights, shuffling and noise come from it", ge=0)
    training: LoopSettings = setting(LoopSettings, "how")
    storage: StorageSettings = setting(StorageSettings, "how buckets are reached")
    output_storage: StorageSettings | None = output_storage()
    scaling: ScalingSettings = setting(ScalingSettings, "on what")
    records: RecordSettings = setting(RecordSettings, "where its numbers go")
