"""What the cluster has, and how the stages of a streaming job share it."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ray
from ray.data import DataContext

from v2a_core import storage
from v2a_core.compute.threads import prepare_torch
from v2a_core.config import ConfigError
from v2a_core.storage import StorageAccess
from workflows.cluster_runtime import ray_private
from workflows.cluster_runtime.config import PoolSettings
from workflows.cluster_runtime.connection import connect, is_news

BLOCK_BYTES = 32 * 2**20  # a few segments' pixels: stages start early on small catalogs, memory stays low on large ones


@dataclass(frozen=True)
class Worker:
    """What a worker process is told before its first work.

    Attributes:
        threads: Torch threads of a model stage.
        access: How files are reached: each process makes its own filesystems.
    """

    threads: int
    access: StorageAccess

    def set_up(self) -> None:
        """For stages without a model."""
        storage.set_process_default(self.access)

    def set_up_model(self) -> None:
        """For stages with one: Ray limits a worker to one thread, they may use what their machine has."""
        self.set_up()
        prepare_torch(self.threads)


@dataclass(frozen=True)
class Pools:
    """What each stage of a streaming job reserves.

    Attributes:
        decode_cpus: CPUs of one decode task.
        decode_tasks: Decode tasks at once, at most.
        actors: Actors of a model stage, when it begins and at least.
        most_actors: Actors of a model stage at most: as the cluster grows, Ray starts more.
        actor_cpus: CPUs of one model actor. A fraction: on two CPUs, actors that hold whole ones starve the rest.
        gather_cpus: CPUs of the actor that brings the segments of a source together.
        cut_cpus: CPUs of a task that only cuts blocks.
        main_gpus: GPUs of one actor of the stage that computes most: as much as keeps others like it from its GPU.
        beside_gpus: GPUs of one actor of a stage that computes less: next to nothing, it takes turns on all of them.
        segments_per_batch: Segments in a model stage's batch. A GPU takes small batches and large ones in one time.
        soundtracks_per_batch: Sources in a batch of the generator stage.
        sources_per_block: Sources of a decode task; 0 chooses by their number.
        worker: What each worker process is told.
    """

    decode_cpus: float
    decode_tasks: int
    actors: int
    most_actors: int
    actor_cpus: float
    gather_cpus: float
    cut_cpus: float
    main_gpus: float
    beside_gpus: float
    segments_per_batch: int
    soundtracks_per_batch: int
    sources_per_block: int
    worker: Worker


def start_pools(address: str | None, settings: PoolSettings, model_stages: int) -> Pools:
    """Connect, or start Ray, and prepare it for Ray Data: whatever refuses a run is told before its output is claimed.

    Args:
        address: As for `connect`.
        settings: As for `prepare_data`.
        model_stages: As for `prepare_data`.

    Raises:
        ConfigError: As `plan_pools` does.
    """
    connect(address)
    return prepare_data(settings, model_stages)


def prepare_data(settings: PoolSettings, model_stages: int) -> Pools:
    """Tell Ray Data what all streaming jobs want of it, and share the cluster among the stages.

    Args:
        settings: What is wished.
        model_stages: Stages of actors that hold a model.
    """
    context = DataContext.get_current()
    pools = plan_pools(settings, model_stages)
    ray_private.limit_look_ahead(context, max(pools.segments_per_batch, pools.soundtracks_per_batch) * pools.actors)
    ray_private.pass_arguments_by_value()
    ray_private.bound_wait_for_locations()
    context.target_max_block_size = BLOCK_BYTES
    context.target_min_block_size = 1  # never merge small blocks: a source of one segment goes on at once
    context.execution_options.preserve_order = False
    # A block that fails is never dropped: its rows would be lost without a word. What can go wrong with a row is a
    # rejected row long before; the rest stops the run, which then goes on from its output.
    context.max_errored_blocks = 0
    context.enable_progress_bars = False  # ours counts sources and rejects
    context.print_on_execution_start = False
    # It compares with a memory request, which depends on the models and is left to the cluster.
    context.issue_detectors_config.high_memory_detector_config.detection_time_interval_s = -1
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    logging.getLogger(ray_private.PROGRESS_LOGGER).setLevel(logging.ERROR)  # it regrets that its bars are off
    logging.getLogger(ray_private.MAP_LOGGER).addFilter(is_news)
    logging.getLogger("ray.data.exceptions").addFilter(_hide)
    # Small catalogs have fewer blocks than there are workers; that is no news.
    warnings.filterwarnings("ignore", message="The maximum number of concurrent tasks")
    return pools


def plan_pools(settings: PoolSettings, model_stages: int) -> Pools:
    """Share the cluster that Ray is connected to among the stages, as `lay_out` does.

    Args:
        settings: What is wished.
        model_stages: Stages of actors that hold a model.

    Raises:
        ConfigError: As `lay_out` does.
    """
    return lay_out(settings, model_stages, machines_of_cluster())


def machines_of_cluster() -> list[Mapping[str, float]]:
    """The resources of each machine that runs stages: a head that offers no CPUs runs none."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]


def lay_out(settings: PoolSettings, model_stages: int, machines: Sequence[Mapping[str, float]]) -> Pools:
    """Share machines among the stages; they need not be there: `v2a plan` asks for those of its file.

    CPU-only: decoding and models use the same cores, so actors reserve little and Ray keeps the rest for decode tasks;
    the operating system does the fine sharing. With GPUs: one actor of each model stage a GPU.

    What the stages of the longest job reserve (decode, see and map, gather, cut, generate, finish) fits on machines of
    any number and size. Ray Data reserves for the first stages first, and what is not left goes to the last one when
    those are over: no soundtrack would be finished before the last video is decoded.

    Args:
        settings: What is wished.
        model_stages: Stages of actors that hold a model.
        machines: The resources of each, by the names that Ray has for them.

    Raises:
        ConfigError: When the cluster does not have what is wished; names the setting, the wish and the supply.
    """
    here = sum(machine.get("CPU", 0.0) for machine in machines) / max(1, len(machines))
    cpus, gpus = (settings.share * sum(machine.get(kind, 0.0) for machine in machines) for kind in ("CPU", "GPU"))
    actors = _actors(settings, gpus, len(machines))
    decode_cpus, actor_cpus = settings.decode_cpus or _decode_cpus(here), _actor_cpus(here)
    _check_supply(settings, machines, actor_cpus)
    slots = min(cpus, (cpus - model_stages * actors * actor_cpus) / decode_cpus)
    growth = max(1.0, settings.most_actors / actors)
    return Pools(
        decode_cpus=decode_cpus,
        decode_tasks=int(growth * (settings.decode_tasks or max(1, int(slots)))),
        actors=actors,
        most_actors=max(actors, settings.most_actors),
        actor_cpus=actor_cpus,
        gather_cpus=0.05,
        cut_cpus=min(0.25, cpus / 10),  # with less, half an equal share, which Ray Data gives to each stage, is more
        main_gpus=_main_gpus(gpus, actors) if gpus else 0.0,
        beside_gpus=0.001 if gpus else 0.0,
        segments_per_batch=settings.segments_per_batch or (32 if gpus else 16),
        soundtracks_per_batch=settings.soundtracks_per_batch or (32 if gpus else 8),
        sources_per_block=settings.sources_per_block,
        worker=Worker(max(1, int(here if not gpus else 2)), storage.in_use()),
    )


def _actors(settings: PoolSettings, gpus: float, machines: int) -> int:
    """Actors that each model stage begins with, on so many GPUs and machines."""
    actors = settings.model_actors or max(1, int(gpus) or int(settings.share * machines))
    return min(actors, settings.most_actors or actors)


def _main_gpus(gpus: float, actors: int) -> float:
    """GPUs of each of so many actors, one too many of which would not fit: 0.9 of one, 0.45 of each of two, ..."""
    return 0.9 * min(1.0, gpus) / math.ceil(actors / max(1.0, gpus))


def _decode_cpus(machine: float) -> float:
    """CPUs of a decode task on a machine with so many."""
    return machine / 5 if machine < 4 else 1.0


def _actor_cpus(machine: float) -> float:
    """CPUs of a model actor on a machine with so many."""
    return machine / 10 if machine < 4 else 0.25 if machine < 8 else 1.0


def _check_supply(settings: PoolSettings, machines: Sequence[Mapping[str, float]], actor_cpus: float) -> None:
    """Refuse a wish that no machine could ever fulfil: Ray would wait for one that can, without a word."""
    gpus = sum(machine.get("GPU", 0.0) for machine in machines)
    if settings.device == "gpu" and not gpus:
        raise ConfigError(
            f"pools.device = 'gpu': none of the {len(machines)} machines of this cluster has a GPU that Ray knows of; "
            "start Ray on one with `--num-gpus`, or say pools.device=auto"
        )
    largest = max((machine["CPU"] for machine in machines), default=1.0)
    if settings.decode_cpus > largest:
        raise ConfigError(
            f"pools.decode_cpus = {settings.decode_cpus:g}: a decode task runs on one machine, and the largest of this "
            f"cluster has {largest:g} CPUs"
        )
    if 0 < settings.most_actors < settings.model_actors:
        raise ConfigError(
            f"pools.most_actors = {settings.most_actors}: fewer than the {settings.model_actors} that the stage begins "
            "with (pools.model_actors)"
        )
    # With GPUs an actor needs one of them, and where the CPUs are others does not help.
    hosts = [machine for machine in machines if machine.get("GPU")] if gpus else machines
    room = sum(int(machine["CPU"] / actor_cpus + 1e-6) for machine in hosts)
    if settings.model_actors > room:
        raise ConfigError(
            f"pools.model_actors = {settings.model_actors}: each reserves {actor_cpus:g} CPUs"
            f"{' beside its share of a GPU' if gpus else ''}, for which this cluster has room {room} times"
        )


def _hide(record: logging.LogRecord) -> bool:
    """What ends a run is told in a sentence; Ray's pages of frames are for its own log, which is what `hide` means."""
    record.hide = True
    return True


def device() -> str:
    """The device of the calling actor."""
    from v2a_core.compute.precision import default_device

    return default_device()
