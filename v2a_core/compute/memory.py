"""Work in batches that fit into memory."""

from __future__ import annotations

import functools
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


class BatchSize:
    """How many items one network takes at once: halved for good when memory runs out, and the batch is done again.

    Args:
        what: Name of the items, for messages.
        size: Items at once, to begin with.
        device: Whose memory it is.

    Attributes:
        size: Items at once, now.
    """

    def __init__(self, what: str, size: int, device: str) -> None:
        self.size, self._what, self._device = size, what, device

    def run(self, items: slice, work: Callable[[slice], None]) -> None:
        """Do the work for all items, in batches. May be called from several threads.

        Args:
            items: From where to where.
            work: Takes a batch; must leave nothing behind when it runs out of memory.

        Raises:
            RuntimeError: What `work` raised; want of memory only when not even one item fits.
        """
        start = items.start
        while start < items.stop:
            batch = slice(start, min(start + self.size, items.stop))
            if self._fits(work, batch):
                start = batch.stop

    def _fits(self, work: Callable[[slice], None], batch: slice) -> bool:
        """False when memory ran out and the size was halved; by then the failed batch's tensors are gone."""
        count = batch.stop - batch.start
        try:
            work(batch)
            return True
        except RuntimeError as error:
            if count == 1 or not is_out_of_memory(error):
                raise
        self.size = min(self.size, count // 2)  # another thread may have found a smaller size already
        logger.warning("out of memory: going on with %d %s at once", self.size, self._what)
        if self._device.startswith("cuda"):
            torch.cuda.empty_cache()
        return False


class Batches:
    """Works on items that must share something to be in one batch, as many at once as fit into memory.

    Args:
        what: Name of the items, for messages.
        size: Items at once, to begin with.
        device: Whose memory it is.
    """

    def __init__(self, what: str, size: int, device: str) -> None:
        self._batch, self._what, self._device = BatchSize(what, size, device), what, device

    @property
    def size(self) -> int:
        """Items at once, now."""
        return self._batch.size

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
        try:
            for group in groups.values():
                self._batch.run(slice(0, len(group)), functools.partial(_work_on, work, group))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise GenerationError(
                f"not even one of the {self._what} fits into the memory of {self._device}: {error}"
            ) from error


def _work_on(work: Callable[[Sequence[Item]], None], group: Sequence[Item], batch: slice) -> None:
    work(group[batch])
