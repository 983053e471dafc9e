"""Work in batches that fit into memory."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import torch

from v2a_core.compute.precision import is_out_of_memory

logger = logging.getLogger(__name__)

Item = TypeVar("Item")


class GenerationError(RuntimeError):
    """Sounds cannot be made on this machine with these settings."""


class Batches:
    """How many items one network takes at once: halved for good when memory runs out, and the batch is done again.

    Args:
        what: Name of the items, for messages.
        size: Items at once, to begin with.
        device: Whose memory it is.
    """

    def __init__(self, what: str, size: int, device: str) -> None:
        self.size, self._what, self._device = size, what, device

    def run(
        self, items: Sequence[Item], work: Callable[[Sequence[Item]], None], *, key: Callable[[Item], Hashable]
    ) -> None:
        """Do the work for all items, those with one key in common batches.

        Args:
            items: What to work on.
            work: Takes a batch; must leave nothing behind when it runs out of memory.
            key: What items must share to be in one batch, such as their shape.

        Raises:
            GenerationError: When not even one item fits into memory.
        """
        groups: defaultdict[Hashable, list[Item]] = defaultdict(list)
        for item in items:
            groups[key(item)].append(item)
        for group in groups.values():
            start = 0
            while start < len(group):
                batch = group[start : start + self.size]
                if self._try(work, batch):
                    start += len(batch)

    def _try(self, work: Callable[[Sequence[Item]], None], batch: Sequence[Item]) -> bool:
        """False when memory ran out and the size was halved; by then the failed batch's tensors are gone."""
        try:
            work(batch)
            return True
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if len(batch) == 1:
                raise GenerationError(
                    f"not even one of the {self._what} fits into the memory of {self._device}: {error}"
                ) from error
        self.size = len(batch) // 2
        logger.warning("out of memory: going on with %d %s at once", self.size, self._what)
        if self._device.startswith("cuda"):
            torch.cuda.empty_cache()
        return False
