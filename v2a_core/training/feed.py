"""What a training step is given: from memory in an exact order, or from a stream in whatever order it comes.

Shapes: N rows of a split, B this worker's rows of a step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from v2a_core.training import distributed
from v2a_core.training.distributed import Shard
from v2a_core.training.subject import Inputs

ORDER_STREAM = 0


@dataclass(frozen=True)
class Batch:
    """This worker's part of a step.

    Attributes:
        inputs: What is learned from, by name, each (B, ...).
        weight_B: What each row counts, float32; None: 1.
        places_B: Where the rows stand in the global batch, int64.
        rows: Rows of the global batch.
    """

    inputs: Inputs
    weight_B: Tensor | None
    places_B: Tensor
    rows: int


class Feed(Protocol):
    """The rows of a run, epoch by epoch; every worker takes the same number of steps."""

    def epoch(self, epoch: int, start: int) -> Iterator[Batch]:
        """The steps of an epoch, from the step `start` on. Every row comes once an epoch."""


class Kept(Protocol):
    """The rows of a split in memory: all of them, or a worker's share.

    Attributes:
        shard: Which of them these are.
        weight_N: What each of these counts in the loss, float32; None: 1.
    """

    shard: Shard
    weight_N: Tensor | None

    def __len__(self) -> int:
        """Rows of the whole split."""

    def begin_epoch(self, seed: int, epoch: int) -> None:
        """Draw anew what is drawn once an epoch."""

    def inputs(self, rows_B: Tensor) -> Inputs:
        """Some of these rows, on the device of the training; int64 (B,)."""


class MemoryFeed:
    """Shuffles anew each epoch, by (seed, epoch): the same batches for any number of workers and after any restart.

    When each worker holds a share of the rows, it computes those of a batch that are its own: a few more or fewer
    than the others.
    """

    def __init__(self, kept: Kept, global_batch: int, *, seed: int, device: str) -> None:
        self._kept, self._global_batch = kept, global_batch
        self._seed, self._device = seed, device

    def epoch(self, epoch: int, start: int) -> Iterator[Batch]:
        """The steps of an epoch; the last one may be smaller."""
        kept, size, shard = self._kept, self._global_batch, self._kept.shard
        order = torch.from_numpy(np.random.default_rng([self._seed, epoch, ORDER_STREAM]).permutation(len(kept)))
        order = order.to(self._device)
        kept.begin_epoch(self._seed, epoch)
        for index in range(start, math.ceil(len(kept) / size)):
            rows = order[index * size : (index + 1) * size]
            if shard.workers > 1:
                places = (rows % shard.workers == shard.rank).nonzero()[:, 0]
                own = rows[places] // shard.workers
            else:
                places = distributed.share(torch.arange(len(rows), device=rows.device))
                own = rows[places]
            weight_B = None if kept.weight_N is None else kept.weight_N[own]
            yield Batch(kept.inputs(own), weight_B, places, len(rows))


class StreamFeed:
    """Takes batches of pairs as they come, for data larger than memory.

    Workers may get unlike numbers of rows: an epoch ends when the last one has no more, and none is dropped. The order
    is not the same in another run; going on within an epoch skips as many steps as were done.

    Args:
        open_epoch: Opens an epoch, by its number: this worker's batches of (condition, target, weight or None) on its
            device, L2-normalised.
        vision_dim: Width of a visual embedding.
        embedding_dim: Of an audio embedding.
        device: Where they are.
    """

    def __init__(
        self,
        open_epoch: Callable[[int], Iterator[tuple[Tensor, Tensor, Tensor | None]]],
        vision_dim: int,
        embedding_dim: int,
        device: str,
    ) -> None:
        self._open_epoch, self._device = open_epoch, device
        self._none = (torch.empty(0, vision_dim, device=device), torch.empty(0, embedding_dim, device=device), None)

    def epoch(self, epoch: int, start: int) -> Iterator[Batch]:
        """The steps of an epoch."""
        batches, rank = self._open_epoch(epoch), distributed.rank()
        for index in range(2**62):
            condition, target, weight = next(batches, self._none)
            counts = torch.zeros(distributed.world_size(), dtype=torch.int64, device=self._device)
            counts[rank] = len(target)
            counts = distributed.sum_over_workers(counts).cpu()
            rows, first = int(counts.sum()), int(counts[:rank].sum())
            if not rows:
                return
            if index >= start:
                places = torch.arange(first, first + len(target), device=self._device)
                yield Batch({"condition": condition, "target": target}, weight, places, rows)
