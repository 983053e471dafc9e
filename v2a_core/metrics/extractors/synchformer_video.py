"""What Synchformer sees of videos: they are seen whenever its weights are named for sounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.extractors.folder import WatchingExtractor, Weights
from v2a_core.tables.columns import Column
from v2a_core.tables.schema import FLOATS

if TYPE_CHECKING:
    from v2a_core.metrics.extractors.networks.synchformer import Sizes


class SynchformerVideo(WatchingExtractor):
    """The half that sees, on frames as av-benchmark takes them.

    Args:
        path: The checkpoint.
        device: Where it runs.
        sizes: Of the network; None: the published ones.
    """

    frames_per_second: ClassVar[float] = 25.0
    side: ClassVar[int] = 224
    square: ClassVar[bool] = True
    columns: ClassVar[tuple[Column, ...]] = (
        Column("segments", FLOATS, "8 x 768 numbers for each segment of 0.64 s, one in 0.32 s, one after the other"),
    )
    sizes: ClassVar[Mapping[str, int]] = {"segments": 8 * 768}

    def __init__(self, path: Path, device: str, sizes: Sizes | None = None) -> None:
        from v2a_core.metrics.extractors.networks import synchformer

        self._network = synchformer.load(synchformer.Eyes, path, sizes)
        self._network.to(device)

    @classmethod
    def check(cls, weights: Weights) -> None:
        """Names and shapes fit."""
        from v2a_core.metrics.extractors.networks import synchformer

        synchformer.check(synchformer.Eyes, weights.path())

    @classmethod
    def opened(cls, weights: Weights, device: str) -> Self:
        """Fetch the weights where they are not there, and load them."""
        return cls(weights.path(), device)

    def extract(self, films: Sequence[npt.NDArray[np.uint8]]) -> Mapping[str, pa.Array]:
        """What is seen of each video; nothing of one shorter than a segment."""
        return {"segments": pa.array([seen.ravel() for seen in self._network.see(films)], FLOATS)}


EXTRACTORS.add("synchformer-video", SynchformerVideo)
