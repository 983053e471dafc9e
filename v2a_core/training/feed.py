"""What a training step is given: from memory in an exact order, or from a stream in whatever order it comes.

Shapes: B this worker's rows of a step, V width of a visual embedding, E of an audio embedding.
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
from v2a_core.training.data import Pairs

ORDER_STREAM = 0


@dataclass(frozen=True)
class Batch:
    """This worker's part of a step.

    Attributes:
        condition_BV, target_BE: L2-normalised float32.
        weight_B: What each row counts, float32; None: 1.
        places_B: Where the rows stand in the global batch, int64.
        rows: Rows of the global batch.
    """

    condition_BV: Tensor
    target_BE: Tensor
    weight_B: Tensor | None
    places_B: Tensor
    rows: int


class Feed(Protocol):
    """The rows of a run, epoch by epoch; every worker takes the same number of steps."""

    def epoch(self, epoch: int, start: int) -> Iterator[Batch]:
        """The steps of an epoch, from the step `start` on. Every row comes once an epoch."""


class MemoryFeed:
    """Shuffles anew each epoch, by (seed, epoch): the same batches for any number of workers and after any restart.

    When each worker holds a share of the rows, it computes those of a batch that are its own: a few more or fewer
    than the others.
    """

    def __init__(self, pairs: Pairs, global_batch: int, *, seed: int, device: str) -> None:
        self._pairs, self._global_batch = pairs, global_batch
        self._seed, self._device = seed, device

    def epoch(self, epoch: int, start: int) -> Iterator[Batch]:
        """The steps of an epoch; the last one may be smaller."""
        pairs, size, shard = self._pairs, self._global_batch, self._pairs.shard
        order = torch.from_numpy(np.random.default_rng([self._seed, epoch, ORDER_STREAM]).permutation(len(pairs)))
        order = order.to(self._device)
        pairs.begin_epoch(self._seed, epoch)
        for index in range(start, math.ceil(len(pairs) / size)):
            rows = order[index * size : (index + 1) * size]
            if shard.workers > 1:
                places = (rows % shard.workers == shard.rank).nonzero()[:, 0]
                own = rows[places] // shard.workers
            else:
                places = distributed.share(torch.arange(len(rows), device=rows.device))
                own = rows[places]
            weight_B = None if pairs.weight_N is None else pairs.weight_N[own]
            yield Batch(pairs.condition_NV[own], pairs.target_NE[own], weight_B, places, len(rows))


class StreamFeed:
    """Takes batches as they come, for data larger than memory.

    Workers may get unlike numbers of rows: an epoch ends when the last one has no more, and none is dropped. The order
    is not the same in another run; going on within an epoch skips as many steps as were done.

    Args:
        open_epoch: Opens an epoch, by its number: this worker's batches of (condition, target, weight or None) on its
            device, L2-normalised.
        vision_dim: V.
        embedding_dim: E.
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
                yield Batch(condition, target, weight, places, rows)
