"""No mapper: what CLIP saw goes to the generator as it is. The paper's lower bound (FD 72.5 against 24.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from v2a_core.mappers.aggregators import aggregate, together
from v2a_core.protocols import AnyFloats


class NoMapper:
    """Stands where a mapper would: the mean of the frames' embeddings, L2-normalised, as if it were CLAP's.

    Attributes:
        fingerprint: Instead of one of weights.
    """

    fingerprint = "none"

    def map(self, vision_frames: Sequence[AnyFloats], seeds: Sequence[int]) -> npt.NDArray[np.float32]:
        """L2-normalised float32 (B, D) from B arrays (n, D); there is no chance in it."""
        means_BD = aggregate("average", *together(vision_frames), np.array(seeds, np.uint64))
        normal: npt.NDArray[np.float32] = means_BD / np.linalg.norm(means_BD, axis=1, keepdims=True)
        return normal
