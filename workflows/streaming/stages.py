"""Stages of a chain: typed settings that Ray gets as they are, and what makes workers of them.

A stage is a frozen dataclass: its fields are all that it depends on, so that a type checker sees every one of them. A
task stage is called with a batch; an actor stage loads a model once, and what it has loaded is called with each batch.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator
from typing import Literal, Protocol, TypeAlias

import pyarrow as pa
from ray.data import ActorPoolStrategy, Dataset, TaskPoolStrategy

from workflows.cluster_runtime.gpus import take_turns
from workflows.cluster_runtime.pools import Pools, Worker

Gpu: TypeAlias = Literal["main", "beside"]
Made: TypeAlias = "pa.Table | Iterator[pa.Table]"  # of a batch: a table, or several as they come


class TaskStage(Protocol):
    """A stage without a model: a frozen dataclass of its settings."""

    def __call__(self, batch: pa.Table) -> Made:
        """Work on a batch, in a task of its own."""


class ActorStage(abc.ABC):
    """A stage that holds something from batch to batch: a frozen dataclass of its settings."""

    def prepare(self, worker: Worker) -> None:
        """Prepare the actor's process; for a model, unless a stage says otherwise."""
        worker.set_up_model()

    @abc.abstractmethod
    def load(self) -> Callable[[pa.Table], Made]:
        """In the actor, once: what is called with each batch."""


class _Actor:
    """What Ray builds, and builds again when it is lost."""

    def __init__(self, stage: ActorStage, worker: Worker, gpu: Gpu | None) -> None:
        if gpu == "beside":
            take_turns(_name(stage))
        stage.prepare(worker)
        self._work = stage.load()

    def __call__(self, batch: pa.Table) -> Made:
        return self._work(batch)


def run_actors(
    data: Dataset,
    stage: ActorStage,
    pools: Pools,
    *,
    batch_size: int,
    cpus: float | None = None,
    gpu: Gpu | None = "main",
    actors: int | None = None,
) -> Dataset:
    """Append a stage of actors to a chain.

    Args:
        data: The chain so far.
        stage: What each actor is.
        pools: The cluster's share-out.
        batch_size: Rows of a batch.
        cpus: CPUs of an actor; None: what a model's actor gets.
        gpu: Whether the stage computes most of all, or beside the one that does; None: it needs no GPU.
        actors: How many; None: as many as each model gets, which are more when the cluster grows.
    """
    least, most = (pools.actors, pools.most_actors) if actors is None else (actors, actors)
    named = type(_name(stage), (_Actor,), {})  # Ray calls a stage, its processes too, by the name of its class
    return data.map_batches(
        named,
        fn_constructor_args=(stage, pools.worker, gpu),
        batch_size=batch_size,
        batch_format="pyarrow",
        num_cpus=pools.actor_cpus if cpus is None else cpus,
        num_gpus={"main": pools.main_gpus, "beside": pools.beside_gpus, None: 0.0}[gpu],
        compute=ActorPoolStrategy(min_size=least, max_size=most),
    )


def run_tasks(
    data: Dataset, stage: TaskStage, pools: Pools, *, batch_size: int | None = None, cpus: float | None = None
) -> Dataset:
    """Append a stage of tasks to a chain: as many at once as there are decode tasks.

    Args:
        data: The chain so far.
        stage: What each task does.
        pools: The cluster's share-out.
        batch_size: Rows of a batch; None: a block.
        cpus: CPUs of a task; None: what a decode task gets.
    """
    worker = pools.worker

    def work(batch: pa.Table) -> Made:
        worker.set_up()
        return stage(batch)

    work.__name__ = _name(stage)
    return data.map_batches(
        work,
        batch_size=batch_size,
        batch_format="pyarrow",
        num_cpus=pools.decode_cpus if cpus is None else cpus,
        compute=TaskPoolStrategy(size=pools.decode_tasks),
    )


def _name(stage: object) -> str:
    return type(stage).__name__
