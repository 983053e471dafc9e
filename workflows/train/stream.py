"""Training rows through Ray Data, for embeddings larger than the workers' memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import ray
import ray.data
import ray.train

from v2a_core import storage
from v2a_core.tables.schema import EMBEDDING_DIM
from v2a_core.training.selection import TRAIN, Selection

READ_CPUS = 0.5  # beside training workers that hold whole CPUs; reading waits for storage more than it computes


class UnevenSplit(ray.train.DataConfig):
    """Gives every row to some worker. Ray's own split makes the shares equal by dropping rows."""

    def configure(self, datasets: Any, world_size: int, *arguments: Any, **more: Any) -> list[dict[str, Any]]:
        """One iterator a worker, of each dataset."""
        shares: list[dict[str, Any]] = [{} for _ in range(world_size)]
        for name, dataset in datasets.items():
            for share, iterator in zip(shares, dataset.streaming_split(world_size, equal=False), strict=True):
                share[name] = iterator
        return shares


class EpochNumber:
    """An actor that knows which epoch is read: the tasks that read are planned once, for all epochs."""

    def __init__(self) -> None:
        self._epoch = 0

    def begin(self, epoch: int) -> None:
        """The next time the rows are read is this epoch's."""
        self._epoch = epoch

    def current(self) -> int:
        """The epoch that is read."""
        return self._epoch


def training_rows(
    selection: Selection, spaces: dict[str, str], aggregator: str, seed: int, number: Any
) -> ray.data.Dataset:
    """The training pairs, shuffled as a whole each time they are read.

    Args:
        selection: Which rows.
        spaces: Of the embeddings.
        aggregator: From frames to one vector.
        seed: Of the run.
        number: The actor of `EpochNumber`.
    """
    shared, access = ray.put(selection), storage.in_use()
    parts = [{"part": part} for part in range(len(selection.parts))]

    def read(batch: dict[str, Any]) -> Iterator[dict[str, Any]]:
        from v2a_core.mappers.aggregators import epoch_seeds
        from v2a_core.training.reading import read_part

        storage.set_process_default(access)
        epoch = ray.get(number.current.remote())
        for part in batch["part"]:
            for chunk in read_part(ray.get(shared), int(part), spaces, EMBEDDING_DIM):
                rows = chunk.codes == TRAIN
                if rows.any():
                    weights = np.ones(len(rows), np.float32) if chunk.weights is None else chunk.weights
                    condition = chunk.conditions(rows, aggregator, epoch_seeds(chunk.keys[rows], seed, epoch))
                    yield {"condition": condition, "target": chunk.targets[rows], "weight": weights[rows]}

    listed = ray.data.from_items(parts, override_num_blocks=len(parts))
    reader: Any = read
    return listed.map_batches(reader, batch_size=1, num_cpus=READ_CPUS).random_shuffle()


def open_epochs(global_batch: int, device: str, number: Any) -> Callable[[int], Iterator[Any]]:
    """What opens this worker's share of an epoch: batches of (condition, target, weight), L2-normalised.

    Args:
        global_batch: Rows of a step, over all workers.
        device: Where the batches go.
        number: The actor of `EpochNumber`.
    """
    from v2a_core.mappers.base import normalize

    context = ray.train.get_context()
    workers, rank = context.get_world_size(), context.get_world_rank()
    own_batch = global_batch // workers + (rank < global_batch % workers)
    share = ray.train.get_dataset_shard("train")
    assert share is not None

    def batches(epoch: int) -> Iterator[Any]:
        # Reading begins when every worker asks for it: whoever comes first, the tasks find this epoch's number.
        ray.get(number.begin.remote(epoch))
        for batch in share.iter_torch_batches(batch_size=own_batch, device=device):
            yield normalize(batch["condition"]), normalize(batch["target"]), batch["weight"]

    return batches
