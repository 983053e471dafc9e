"""Micro-batches, the same for every encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch

from v2a_core.compute.memory import BatchSize
from v2a_core.compute.threads import side_by_side

# On a CPU a forward pass of more frames does not fit into a core's cache.
_SIZE, _SIZE_ON_CPU = 32, 16
_MOST_LANES = 8  # Python starts each operator of each lane: with many more they wait for it


class MicroBatches:
    """Runs a network over any number of items in batches that fit into memory.

    On a CPU, batches run side by side in lanes.

    Args:
        size: Items in one forward pass, to begin with; 0 chooses by the device.
        dim: Numbers in an embedding.
        device: Where the network is.
    """

    def __init__(self, size: int, dim: int, device: str = "cpu") -> None:
        self._dim, self._on_cpu = dim, device == "cpu"
        self._batch = BatchSize("items", size or (_SIZE_ON_CPU if self._on_cpu else _SIZE), device)

    @property
    def size(self) -> int:
        """Items in one forward pass, now."""
        return self._batch.size

    def run(self, forward: Callable[[slice], torch.Tensor], count: int) -> npt.NDArray[np.float32]:
        """L2-normalised float32 (count, dim).

        Args:
            forward: Embeds the items of a slice: (n, dim), any dtype, not normalised. Called from several threads.
            count: Number of items.
        """
        out = np.empty((count, self._dim), np.float32)

        def fill(items: slice) -> None:
            with torch.inference_mode():
                embedding = forward(items)
            out[items] = torch.nn.functional.normalize(embedding.float(), dim=-1).cpu().numpy()

        def work(piece: slice) -> None:
            self._batch.run(piece, fill)

        lanes = min(torch.get_num_threads(), count, _MOST_LANES) if self._on_cpu else 1
        side_by_side(work, self._pieces(count, lanes) if lanes > 1 else [slice(0, count)], lanes)
        return out

    def _pieces(self, count: int, lanes: int) -> Iterator[slice]:
        """Pieces of a micro-batch at most, of one size, and as many for each lane."""
        rounds = -(-count // (self.size * lanes))
        piece = -(-count // (rounds * lanes))
        for start in range(0, count, piece):
            yield slice(start, min(start + piece, count))
