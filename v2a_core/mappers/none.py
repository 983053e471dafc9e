"""No mapper: what CLIP saw goes to the generator as it is. The paper's lower bound (FD 72.5 against 24.2).

An embedding that is narrower than the generator's condition, as BLIP's 256 numbers are, is filled up with zeros at its
end. The paper has that row in its table 6 and does not say how it was done. Zeros keep every length and angle, draw
nothing by chance, and are made again by anybody; a random rotation into the wider space would do no more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from v2a_core.mappers.aggregators import aggregate, together
from v2a_core.protocols import AnyFloats
from v2a_core.tables.schema import EMBEDDING_DIM

NO_MAPPER = "none"


class NoMapper:
    """Stands where a mapper would: the mean of the frames' embeddings, L2-normalised, as if it were CLAP's.

    Attributes:
        fingerprint: Instead of one of weights.
    """

    fingerprint = NO_MAPPER

    def map(self, vision_frames: Sequence[AnyFloats], seeds: Sequence[int]) -> npt.NDArray[np.float32]:
        """L2-normalised float32 (B, 512) from B arrays (n, D), D <= 512; there is no chance in it."""
        means_BD = aggregate("average", *together(vision_frames), np.array(seeds, np.uint64))
        normal_BD = means_BD / np.linalg.norm(means_BD, axis=1, keepdims=True)
        padded: npt.NDArray[np.float32] = np.pad(normal_BD, ((0, 0), (0, EMBEDDING_DIM - normal_BD.shape[1])))
        return padded


def no_mapper_name(vision_dim: int) -> str:
    """What an output says instead of a mapper's fingerprint: that there was none, and what filled up the rest."""
    return NO_MAPPER if vision_dim == EMBEDDING_DIM else f"{NO_MAPPER}, {vision_dim} numbers and zeros"
