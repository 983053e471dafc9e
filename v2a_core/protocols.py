"""What each kind of component can do, whichever it is, and the types of arrays that pass between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

# What a JSON document, or a configuration in YAML, can hold.
JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"


class FrameEncoder(Protocol):
    """Frames to embeddings of `dim` numbers."""

    dim: int

    def encode(self, frames_NHWC: npt.NDArray[np.uint8]) -> Floats:
        """L2-normalised float32 (N, dim)."""


class WaveformEncoder(Protocol):
    """Waveforms to embeddings."""

    def encode(self, waveforms_BT: Floats) -> Floats:
        """L2-normalised float32 (B, 512)."""


class ConditionMapper(Protocol):
    """What was seen to what shall be heard."""

    def map(self, vision_frames: Sequence[npt.NDArray[Any]], seeds: Sequence[int]) -> Floats:
        """L2-normalised float32 (B, 512)."""
