"""ImageBind's embeddings of videos: they are seen whenever its weights are named for sounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.extractors.folder import WatchingExtractor, Weights
from v2a_core.metrics.extractors.network import as_columns, embedding_column
from v2a_core.tables.columns import Column

if TYPE_CHECKING:
    from v2a_core.metrics.extractors.networks.imagebind import Sizes


class ImageBindVideo(WatchingExtractor):
    """The tower for pictures, on frames as av-benchmark takes them.

    Args:
        path: The checkpoint.
        device: Where it runs.
        sizes: Of the tower; None: the published ones.
    """

    frames_per_second: ClassVar[float] = 0.5
    side: ClassVar[int] = 224
    columns: ClassVar[tuple[Column, ...]] = (
        embedding_column("1024 numbers, the mean of the embeddings of pairs of frames in three squares"),
    )
    sizes: ClassVar[Mapping[str, int]] = {"embedding": 1024}

    def __init__(self, path: Path, device: str, sizes: Sizes | None = None) -> None:
        from v2a_core.metrics.extractors.networks import imagebind

        self._network = imagebind.load(imagebind.VideoTower, path, sizes)
        self._network.to(device)

    @classmethod
    def check(cls, weights: Weights) -> None:
        """Names and shapes fit."""
        from v2a_core.metrics.extractors.networks import imagebind

        imagebind.check(imagebind.VideoTower, weights.path())

    @classmethod
    def opened(cls, weights: Weights, device: str) -> Self:
        """Fetch the weights where they are not there, and load them."""
        return cls(weights.path(), device)

    def extract(self, films: Sequence[npt.NDArray[np.uint8]]) -> Mapping[str, pa.Array]:
        """The embedding of each video."""
        return as_columns(self._network.embed(films))


EXTRACTORS.add("imagebind-video", ImageBindVideo)
