"""How many sources a decode task takes: by the work that their bytes stand for, and by how many tasks run at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workflows.cluster_runtime.pools import Pools

# Ray keeps a reference and a task for each block: large catalogs get larger blocks, up to the time of a task.
_FEW_BLOCKS, _LEAST_SOURCES = 10_000, 4
_WAVES = 3  # tasks for each slot, at least: no slot is left with a single long one at the end
TASK_S = 300.0  # what is lost with a machine, and what the end of a run waits for
# Seconds of a decode task with one CPU: of any source, and for its bytes. Clips as `benchmarks/decode.py` measures them
# take some less; a task that ends early costs less than one that lasts for hours.
SOURCE_S, BYTES_PER_S = 0.3, 4e6


@dataclass(frozen=True)
class Blocks:
    """How large a block is.

    Attributes:
        sources: Sources of a block; 0: decided by their work.
        slots: Tasks at once.
    """

    sources: int = 0
    slots: int = 1

    @classmethod
    def of(cls, pools: Pools) -> Blocks:
        """As the pools of a run want it."""
        return cls(pools.sources_per_block, pools.decode_tasks)

    def typical(self, sources: int, source_bytes: float) -> int:
        """Sources of a block of a plan.

        Args:
            sources: Of the plan.
            source_bytes: Of one of them, on average.
        """
        if self.sources:
            return self.sources
        return min(self._most(sources), max(1, int(TASK_S / (SOURCE_S + source_bytes / BYTES_PER_S))))

    def cut(self, sizes: npt.NDArray[np.int64], streams: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
        """Cut a list of sources into runs for one task each.

        Args:
            sizes: Bytes of each.
            streams: Of members of a compressed shard, its number; these stay together. Of others -1.

        Yields:
            Start and end of each run.
        """
        most = self._most(len(sizes))
        work = np.cumsum(SOURCE_S + sizes / BYTES_PER_S)
        changes = [*np.flatnonzero(np.diff(streams, prepend=-2)), len(sizes)]
        for begins, ends in itertools.pairwise(changes):
            if streams[begins] >= 0:
                yield int(begins), int(ends)
                continue
            start = int(begins)
            while start < ends:
                before = work[start - 1] if start else 0.0
                in_time = int(np.searchsorted(work, before + TASK_S, side="right"))
                end = min(start + most, int(ends), len(sizes) if self.sources else max(start + 1, in_time))
                yield start, end
                start = end

    def _most(self, sources: int) -> int:
        by_number = max(_LEAST_SOURCES, -(-sources // _FEW_BLOCKS))
        return self.sources or max(1, min(by_number, sources // (_WAVES * self.slots)))
