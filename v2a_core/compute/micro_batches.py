"""Micro-batches, the same for every encoder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch

from v2a_core.compute.precision import is_out_of_memory
from v2a_core.compute.threads import side_by_side

logger = logging.getLogger(__name__)

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
        self.size = size or (_SIZE_ON_CPU if self._on_cpu else _SIZE)

    def run(self, forward: Callable[[slice], torch.Tensor], count: int) -> npt.NDArray[np.float32]:
        """L2-normalised float32 (count, dim).

        Args:
            forward: Embeds the items of a slice: (n, dim), any dtype, not normalised. Called from several threads.
            count: Number of items.
        """
        out = np.empty((count, self._dim), np.float32)

        def fill(items: slice) -> None:
            start = items.start
            while start < items.stop:
                stop = min(start + self.size, items.stop)
                embedding = self._try(forward, slice(start, stop))
                if embedding is not None:
                    out[start:stop] = torch.nn.functional.normalize(embedding.float(), dim=-1).cpu().numpy()
                    start = stop

        lanes = min(torch.get_num_threads(), count, _MOST_LANES) if self._on_cpu else 1
        side_by_side(fill, self._pieces(count, lanes) if lanes > 1 else [slice(0, count)], lanes)
        return out

    def _pieces(self, count: int, lanes: int) -> Iterator[slice]:
        """Pieces of a micro-batch at most, of one size, and as many for each lane."""
        rounds = -(-count // (self.size * lanes))
        piece = -(-count // (rounds * lanes))
        for start in range(0, count, piece):
            yield slice(start, min(start + piece, count))

    def _try(self, forward: Callable[[slice], torch.Tensor], items: slice) -> torch.Tensor | None:
        """None when memory ran out and the batch was halved; by then the failed batch's tensors are gone."""
        count = items.stop - items.start
        try:
            with torch.inference_mode():
                return forward(items)
        except RuntimeError as error:
            if count == 1 or not is_out_of_memory(error):
                raise
        # Another lane may have found a smaller size already.
        self.size = min(self.size, count // 2)
        logger.warning("out of memory: going on with micro-batches of %d", self.size)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None
