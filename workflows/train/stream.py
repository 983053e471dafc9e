"""Training rows through Ray Data, for embeddings larger than the workers' memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import ray
import ray.data
import ray.train

from v2a_core import storage
from v2a_core.storage import StorageAccess
from v2a_core.tables.schema import EMBEDDING_DIM
from v2a_core.training.selection import TRAIN, Selection
from workflows.training.board import EpochNumber

if TYPE_CHECKING:
    from torch import Tensor

READ_CPUS = 0.5  # beside training workers that hold whole CPUs; reading waits for storage more than it computes

Columns: TypeAlias = "dict[str, npt.NDArray[np.generic]]"
Triple: TypeAlias = "tuple[Tensor, Tensor, Tensor | None]"  # condition, target, weight


@dataclass(frozen=True)
class ReadStage:
    """Numbers of parts in, their training pairs out.

    Attributes:
        selection: Which rows; in Ray's object store.
        spaces: Of the embeddings.
        aggregator: From frames to one vector.
        seed: Of the run.
        number: Says which epoch is read.
        access: How files are reached.
    """

    selection: ray.ObjectRef[Selection]
    spaces: dict[str, str]
    aggregator: str
    seed: int
    number: EpochNumber
    access: StorageAccess

    def __call__(self, batch: Columns) -> Iterator[Columns]:
        """Read parts, a chunk at a time."""
        from v2a_core.mappers.aggregators import epoch_seeds
        from v2a_core.training.reading import read_part

        storage.set_process_default(self.access)
        selection, epoch = ray.get(self.selection), self.number.current()
        for part in batch["part"].tolist():
            for chunk in read_part(selection, int(part), self.spaces, EMBEDDING_DIM):
                rows = chunk.codes == TRAIN
                if rows.any():
                    weights = np.ones(len(rows), np.float32) if chunk.weights is None else chunk.weights
                    seeds = epoch_seeds(chunk.keys[rows], self.seed, epoch)
                    condition = chunk.conditions(rows, self.aggregator, seeds)
                    yield {"condition": condition, "target": chunk.targets[rows], "weight": weights[rows]}


def training_rows(
    selection: Selection, spaces: dict[str, str], aggregator: str, seed: int, number: EpochNumber
) -> ray.data.Dataset:
    """The training pairs, shuffled as a whole each time they are read; for the arguments see `ReadStage`."""
    stage = ReadStage(ray.put(selection), spaces, aggregator, seed, number, storage.in_use())
    parts = [{"part": part} for part in range(len(selection.parts))]
    listed = ray.data.from_items(parts, override_num_blocks=len(parts))
    reader: Any = stage  # numpy has more types of arrays than Ray annotates
    return listed.map_batches(reader, batch_size=1, num_cpus=READ_CPUS).random_shuffle()


def open_epochs(global_batch: int, device: str, number: EpochNumber) -> Callable[[int], Iterator[Triple]]:
    """What opens this worker's share of an epoch: batches of (condition, target, weight), L2-normalised.

    Args:
        global_batch: Rows of a step, over all workers.
        device: Where the batches go.
        number: Says which epoch is read.
    """
    from v2a_core.mappers.base import normalize

    context = ray.train.get_context()
    workers, rank = context.get_world_size(), context.get_world_rank()
    own_batch = global_batch // workers + (rank < global_batch % workers)
    share = ray.train.get_dataset_shard("train")
    assert share is not None

    def batches(epoch: int) -> Iterator[Triple]:
        # Reading begins when every worker asks for it: whoever comes first, the tasks find this epoch's number.
        number.begin(epoch)
        for batch in share.iter_torch_batches(batch_size=own_batch, device=device):
            yield normalize(batch["condition"]), normalize(batch["target"]), batch["weight"]

    return batches
