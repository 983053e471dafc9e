"""What each kind of component can do, whichever it is, and the types of arrays that pass between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

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


CURVE_HZ = 50  # values of a curve a second


@dataclass(frozen=True)
class Curve:
    """How loud a soundtrack shall be over time, and where something begins to sound: `CURVE_HZ` values a second.

    Attributes:
        level_F: Float32 (F,), 0..1: mu-law (255) of the amplitude as a share of that of the loudest moment, which is 1.
        onset_F: Float32 (F,), 0..1: 1 where something begins, half of it beside; 0 elsewhere.
        weight_F: Float32 (F,), 0..1: how much the curve counts there; 0: the generator is free.
        holds: Whether the last level goes on where the soundtrack is longer; else the generator is free there.
    """

    level_F: Floats
    onset_F: Floats
    weight_F: Floats
    holds: bool = False

    def lasting(self, frames: int) -> Curve:
        """The curve cut or extended to so many values."""
        more = max(0, frames - len(self.level_F))
        level_F, onset_F, weight_F = (
            np.pad(values_F[:frames], (0, more)) for values_F in (self.level_F, self.onset_F, self.weight_F)
        )
        if self.holds and more:
            level_F[-more:], weight_F[-more:] = self.level_F[-1], self.weight_F[-1]
        return Curve(level_F, onset_F, weight_F, self.holds)


@dataclass(frozen=True)
class Watched:
    """What is seen of a segment over time, from which its curve is predicted.

    Attributes:
        times_s_N: Float32 (N,), ascending: when each frame is shown, seconds from the beginning of the segment.
        motion_N: Float32 (N,), 0..1: how much each frame differs from the one before, see `media.motion_energy`.
        frames_ND: Float (N, D), L2-normalised: the vision encoder's embeddings; None where only motion was measured.
        length_s: Of the segment.
    """

    times_s_N: Floats
    motion_N: Floats
    frames_ND: AnyFloats | None
    length_s: float


class CurvePredictor(Protocol):
    """Pictures to curves."""

    def predict(self, watched: Sequence[Watched]) -> list[Curve]:
        """The curve of each segment, ceil(length_s * `CURVE_HZ`) values; the same for any number of them at once.

        `weight_F` says how sure it is: 1 as sure as it gets, 0 for what it knows nothing about, such as a still.
        """


@dataclass(frozen=True)
class Track:
    """A soundtrack to make.

    Attributes:
        conditions_ND: One a segment, float32.
        seeds: Of the noise, one a segment.
        starts_s: Where the segments begin in the soundtrack, ascending, the first one at 0.
        length_s: Length of the soundtrack; the last segment reaches it.
        null_D: What guidance leads away from; None for the generator's own.
        curve: What it follows in time; only a `CurveFollower` can.
    """

    conditions_ND: Floats
    seeds: Sequence[int]
    starts_s: Sequence[float]
    length_s: float
    null_D: Floats | None = None
    curve: Curve | None = None


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


@runtime_checkable
class CurveFollower(Protocol):
    """A generator that can follow the curves of tracks, once it has an adapter."""

    def use_adapter(self, adapter: Path) -> None:
        """Load an adapter, whose folder was found to be one of this generator's.

        Args:
            adapter: Its weight file; its description lies beside it.

        Raises:
            ValueError: When it does not fit.
        """
