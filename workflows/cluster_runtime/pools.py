"""What the cluster has, and how the stages of a streaming job share it."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass

import ray
from ray.data import DataContext

from v2a_core import storage
from v2a_core.compute.threads import prepare_torch
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
        actors: Actors of a model stage.
        actor_cpus: CPUs of one model actor. A fraction: on two CPUs, actors that hold whole ones starve the rest.
        gather_cpus: CPUs of the actor that brings the segments of a source together.
        cut_cpus: CPUs of a task that only cuts blocks.
        actor_gpus: GPUs of one actor of the stage that computes most.
        segments_per_batch: Segments in a model stage's batch. A GPU takes small batches and large ones in one time.
        soundtracks_per_batch: Sources in a batch of the generator stage.
        sources_per_block: Sources of a decode task; 0 chooses by their number.
        worker: What each worker process is told.
    """

    decode_cpus: float
    decode_tasks: int
    actors: int
    actor_cpus: float
    gather_cpus: float
    cut_cpus: float
    actor_gpus: float
    segments_per_batch: int
    soundtracks_per_batch: int
    sources_per_block: int
    worker: Worker


def start_pools(address: str | None, settings: PoolSettings) -> Pools:
    """Connect, or start Ray, and prepare it for Ray Data: whatever refuses a run is told before its output is claimed.

    Args:
        address: As for `connect`.
        settings: As for `prepare_data`.
    """
    connect(address)
    return prepare_data(settings)


def prepare_data(settings: PoolSettings) -> Pools:
    """Tell Ray Data what all streaming jobs want of it, and share the cluster among the stages."""
    context = DataContext.get_current()
    pools = plan_pools(settings)
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


def plan_pools(settings: PoolSettings) -> Pools:
    """Share the cluster among the stages.

    CPU-only: decoding and models use the same cores, so actors reserve little and Ray keeps the rest for decode tasks;
    the operating system does the fine sharing. With GPUs: one actor of each model stage a GPU.

    What the stages of the longest job reserve (decode, CLIP, map, gather, cut, generate, finish) fits on machines of
    any number and size. Ray Data reserves for the first stages first, and what is not left goes to the last one when
    those are over: no soundtrack would be finished before the last video is decoded.
    """
    resources = ray.cluster_resources()
    cpus, gpus = resources.get("CPU", 1.0), resources.get("GPU", 0.0)
    # A head that offers no CPUs runs no stage.
    nodes = max(1, sum(bool(node["Alive"] and node["Resources"].get("CPU")) for node in ray.nodes()))
    actors = settings.model_actors or max(1, int(gpus) or nodes)
    here = cpus / nodes
    decode_cpus = settings.decode_cpus or (here / 5 if here < 4 else 1.0)
    actor_cpus = here / 10 if here < 4 else 0.25 if here < 8 else 1.0
    decode_tasks = min(cpus, (cpus - 3 * actors * actor_cpus) / decode_cpus)
    return Pools(
        decode_cpus=decode_cpus,
        decode_tasks=settings.decode_tasks or max(1, int(decode_tasks)),
        actors=actors,
        actor_cpus=actor_cpus,
        gather_cpus=0.05,
        cut_cpus=min(0.25, cpus / 10),  # with less, half an equal share, which Ray Data gives to each stage, is more
        actor_gpus=1.0 if gpus else 0.0,
        segments_per_batch=settings.segments_per_batch or (32 if gpus else 16),
        soundtracks_per_batch=settings.soundtracks_per_batch or (32 if gpus else 8),
        sources_per_block=settings.sources_per_block,
        worker=Worker(max(1, int(here if not gpus else 2)), storage.in_use()),
    )


def _hide(record: logging.LogRecord) -> bool:
    """What ends a run is told in a sentence; Ray's pages of frames are for its own log, which is what `hide` means."""
    record.hide = True
    return True


def device() -> str:
    """The device of the calling actor."""
    from v2a_core.compute.precision import default_device

    return default_device()
