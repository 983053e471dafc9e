"""A chain of the program on a real Ray whose stages sleep: what the frame costs, with many workers on few CPUs."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from workflows.cluster_runtime.config import PoolSettings
from workflows.cluster_runtime.connection import connect
from workflows.cluster_runtime.pools import Pools, Worker, prepare_data
from workflows.streaming.plan import from_tables
from workflows.streaming.stages import ActorStage, run_actors, run_tasks

CPUS = 0.01  # of a worker: it sleeps


@dataclass(frozen=True)
class Sleeper:
    """A task that takes a while for each of its rows, and gives them on."""

    seconds: float

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Sleep."""
        time.sleep(self.seconds * batch.num_rows)
        return batch.append_column("made", pa.array([b"x" * 1000] * batch.num_rows))


@dataclass(frozen=True)
class SleepingModel(ActorStage):
    """An actor that takes a while for each row."""

    seconds: float

    def prepare(self, worker: Worker) -> None:
        """It holds no model."""
        worker.set_up()

    def load(self) -> Callable[[pa.Table], pa.Table]:
        """Nothing to load."""

        def work(batch: pa.Table) -> pa.Table:
            time.sleep(self.seconds * batch.num_rows)
            return batch

        return work


def pools(slots: int, actors: int) -> Pools:
    """Workers that reserve next to nothing, prepared as a job does."""
    connect(None)
    wished = PoolSettings(decode_cpus=CPUS, decode_tasks=slots, model_actors=actors, segments_per_batch=4)
    return dataclasses.replace(prepare_data(wished, 1), actor_cpus=CPUS)


@dataclass(frozen=True)
class Streamed:
    """A run of the chain.

    Attributes:
        seconds: From its begin to its last row.
        driver_s: Processor time of the driver for each task.
    """

    seconds: float
    driver_s: float


def stream(slots: int, actors: int, blocks: int, rows: int, decode_s: float, model_s: float) -> Streamed:
    """Run the chain, with all workers of its tasks there before, if one of as many slots has run already.

    Args:
        slots: Decode tasks at once.
        actors: Of the model stage.
        blocks: Of the run.
        rows: Of a block.
        decode_s: Of a row.
        model_s: Of a row.
    """
    layout = pools(slots, actors)
    data = from_tables(_tables(blocks, rows))
    data = run_tasks(data, Sleeper(decode_s), layout)
    data = run_actors(data, SleepingModel(model_s), layout, batch_size=rows, gpu=None)
    started, worked = time.monotonic(), time.process_time()
    batches = data.iter_batches(batch_size=None, prefetch_batches=0, batch_format="pyarrow")
    count = sum(batch.num_rows for batch in batches)
    assert count == blocks * rows, f"{count} of {blocks * rows} rows came"
    return Streamed(time.monotonic() - started, (time.process_time() - worked) / (2 * blocks))


def _tables(blocks: int, rows: int) -> Iterator[pa.Table]:
    for block in range(blocks):
        yield pa.table({"row": pa.array(range(block * rows, (block + 1) * rows), pa.int64())})
