"""What each kind of component can do, whichever it is, and the types of arrays that pass between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
AnyFloats = npt.NDArray[np.floating[Any]]  # of any width

# What a JSON document, or a configuration in YAML, can hold.
JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"


class VisionEncoder(Protocol):
    """Sees: frames to embeddings.

    Attributes:
        space: Name of the embedding space: model and fingerprint of the weights.
        dim: Numbers in an embedding.
        image_size: Side of the square frames that it takes, pixels.
    """

    space: str
    dim: int
    image_size: int

    def encode(self, frames_NHWC: npt.NDArray[np.uint8]) -> Floats:
        """Embed frames; the same for any number of them at once.

        Args:
            frames_NHWC: uint8 (N, image_size, image_size, 3), RGB; N may be 0, and the array read-only.

        Returns:
            Float32 (N, dim), L2-normalised.

        Raises:
            ValueError: For another shape or dtype.
        """


class AudioEncoder(Protocol):
    """Hears: waveforms to embeddings, in the space that the generator was trained with.

    Attributes:
        space: Name of the embedding space: model and fingerprint of the weights.
        dim: Numbers in an embedding.
        sample_rate: Of the waveforms that it takes, Hz.
        samples: T, their length.
    """

    space: str
    dim: int
    sample_rate: int
    samples: int

    def encode(self, waveforms_BT: Floats) -> Floats:
        """Embed waveforms; the same for any number of them at once.

        Args:
            waveforms_BT: Float32 (B, T), -1..1, mono at `sample_rate`; B may be 0, and the array read-only.

        Returns:
            Float32 (B, dim), L2-normalised.

        Raises:
            ValueError: For another shape or dtype.
        """


class Captioner(Protocol):
    """Frames to sentences."""

    def caption(self, frames_NHWC: Sequence[npt.NDArray[np.uint8]]) -> list[str]:
        """A sentence for each uint8 RGB frame (H, W, 3); the same frame always gets the same."""


class ConditionMapper(Protocol):
    """What was seen to what shall be heard."""

    def map(self, vision_frames: Sequence[AnyFloats], seeds: Sequence[int]) -> Floats:
        """L2-normalised float32 (B, 512)."""


@dataclass(frozen=True)
class Track:
    """A soundtrack to make.

    Attributes:
        conditions_ND: One a segment, float32.
        seeds: Of the noise, one a segment.
        starts_s: Where the segments begin in the soundtrack, ascending, the first one at 0.
        length_s: Length of the soundtrack; the last segment reaches it.
        null_D: What guidance leads away from; None for the generator's own.
    """

    conditions_ND: Floats
    seeds: Sequence[int]
    starts_s: Sequence[float]
    length_s: float
    null_D: Floats | None = None


class TextEncoder(Protocol):
    """Texts to embeddings in the space of sounds."""

    def embed_text(self, texts: Sequence[str]) -> Floats:
        """L2-normalised float32 (B, D)."""


class Generator(TextEncoder, Protocol):
    """Conditions to sound."""

    @property
    def sample_rate(self) -> int:
        """Rate of the waveforms, Hz."""

    @property
    def seconds(self) -> Mapping[str, float]:
        """Time spent so far, by part; for AudioLDM `unet`, `vae` and `vocoder`."""

    def generate(self, conditions_BD: Floats, seeds: Sequence[int], duration_s: float) -> Floats:
        """Waveforms, float32 (B, round(duration_s * sample_rate)), -1..1; row i depends on (condition i, seed i) only.

        A row that could not be made is NaN, and costs none of its neighbours.
        """

    def generate_tracks(self, tracks: Sequence[Track], overlap_s: float) -> Iterator[Floats]:
        """The waveform of each track, float32 (round(length_s * sample_rate),); it depends on its track only.

        One that could not be made is NaN.
        """
