"""Micro-batches, the same for every encoder."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from v2a_core.precision import is_out_of_memory

logger = logging.getLogger(__name__)


class MicroBatches:
    """Runs a network over any number of items in batches that fit into memory.

    Args:
        size: Items in one forward pass, to begin with.
        dim: Numbers in an embedding.
    """

    def __init__(self, size: int, dim: int) -> None:
        self.size, self._dim = size, dim

    def run(self, forward: Callable[[slice], torch.Tensor], count: int) -> npt.NDArray[np.float32]:
        """L2-normalised float32 (count, dim).

        Args:
            forward: Embeds the items of a slice: (n, dim), any dtype, not normalised.
            count: Number of items.
        """
        out = np.empty((count, self._dim), np.float32)
        start = 0
        while start < count:
            stop = min(start + self.size, count)
            embedding = self._try(forward, slice(start, stop))
            if embedding is not None:
                out[start:stop] = torch.nn.functional.normalize(embedding.float(), dim=-1).cpu().numpy()
                start = stop
        return out

    def _try(self, forward: Callable[[slice], torch.Tensor], items: slice) -> torch.Tensor | None:
        """None when memory ran out and the batch was halved; by then the failed batch's tensors are gone."""
        try:
            with torch.inference_mode():
                return forward(items)
        except RuntimeError as error:
            if self.size == 1 or not is_out_of_memory(error):
                raise
        self.size = max(1, min(self.size, items.stop - items.start) // 2)
        logger.warning("out of memory: going on with micro-batches of %d", self.size)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None
