"""What every extractor is to the stages that run it.

Shapes: T samples, B segments.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from v2a_core.config import Settings
from v2a_core.media.types import MediaError, MediaSpec, Pcm
from v2a_core.metrics.hearing_protocols import Protocol
from v2a_core.models import LocalBundle
from v2a_core.protocols import TextEncoder
from v2a_core.tables.columns import Column

Floats = npt.NDArray[np.float32]


class SoundExtractor(abc.ABC):
    """Describes one sound by itself, on a CPU, while it is read; made sounds and originals alike.

    Each of `columns` comes twice: by its name for the made sound, and as `reference_NAME` for the original, null where
    there is none.

    Args:
        settings: Its own, if it has any.

    Attributes:
        columns: What it finds out.
    """

    columns: ClassVar[tuple[Column, ...]]

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings

    @classmethod
    def row_columns(cls) -> list[Column]:
        """The columns that it adds to a row."""
        references = [Column(f"reference_{item.name}", item.type, "the same of the original") for item in cls.columns]
        return [column for pair in zip(cls.columns, references, strict=True) for column in pair]

    @abc.abstractmethod
    def describe(self, sound_T: Floats, sample_rate: int) -> Mapping[str, object]:
        """The value of each column; None where the sound has none.

        Args:
            sound_T: Float32, one channel.
            sample_rate: Its rate, Hz.
        """


@dataclass(frozen=True)
class Hearing:
    """What there is to hear with.

    Attributes:
        spec: What the audio encoder takes.
        protocol: Which part of a sound is heard.
        text: What embeds texts into CLAP's space, loaded by the first call.
        models: The bundle.
    """

    spec: MediaSpec
    protocol: Protocol
    text: Callable[[], TextEncoder]
    models: LocalBundle


@dataclass(frozen=True)
class Sounds:
    """A batch of segments, B of each.

    Attributes:
        made: Made sounds as they are in their files; None where there is none.
        reference: Originals, likewise.
        labels, captions: Of the catalog.
        conditions: What the sounds were made from, L2-normalised.
        embedded: What CLAP heard in the made sounds, L2-normalised.
    """

    made: Sequence[Pcm | None]
    reference: Sequence[Pcm | None]
    labels: Sequence[str | None]
    captions: Sequence[str | None]
    conditions: Sequence[Floats | None]
    embedded: Sequence[Floats | None]


class BatchExtractor(abc.ABC):
    """Hears batches of segments with models, where the models are.

    Args:
        settings: Its own, if it has any.
        hearing: What there is to hear with.

    Attributes:
        columns: What it finds out, in the order of the row.
        heard_by: Name of the extractor whose findings it compares; empty: it hears by itself.
    """

    columns: ClassVar[tuple[Column, ...]]
    heard_by: ClassVar[str] = ""

    def __init__(self, settings: Settings | None, hearing: Hearing) -> None:
        self.settings, self.hearing = settings, hearing

    @classmethod
    def row_columns(cls) -> list[Column]:
        """The columns that it adds to a row."""
        return list(cls.columns)

    @classmethod
    def weights(cls, settings: Settings | None, models: LocalBundle) -> str | None:
        """Sha256 of what it hears with; None: it has no weights.

        Args:
            settings: Its own, if it has any.
            models: The bundle.

        Raises:
            ConfigError: When they cannot be had.
        """
        return None

    @abc.abstractmethod
    def extract(self, sounds: Sounds) -> Mapping[str, pa.Array]:
        """Each of `columns`, a value a segment; null where there is none."""

    def refused(self, sounds: Sounds) -> Mapping[int, MediaError]:
        """Segments that are rejected for what was heard, by their places in the batch, and why."""
        return {}
