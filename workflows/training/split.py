"""How streamed rows are shared among workers."""

from __future__ import annotations

from collections.abc import Mapping

import ray.data
import ray.train


class UnevenSplit(ray.train.DataConfig):
    """Gives every row to some worker. Ray's own split makes the shares equal by dropping rows."""

    def configure(
        self, datasets: Mapping[str, ray.data.Dataset], world_size: int, *arguments: object, **more: object
    ) -> list[dict[str, ray.data.DataIterator]]:
        """One iterator a worker, of each dataset."""
        shares: list[dict[str, ray.data.DataIterator]] = [{} for _ in range(world_size)]
        for name, dataset in datasets.items():
            for share, iterator in zip(shares, dataset.streaming_split(world_size, equal=False), strict=True):
                share[name] = iterator
        return shares
