"""Extractors whose findings have a folder of their own, with a row a sound: networks, and what is slow besides."""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from v2a_core.config import ConfigError
from v2a_core.media.types import Pcm
from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.hearing_protocols import Protocol
from v2a_core.models import Bundle, ModelError
from v2a_core.models.digests import sha256
from v2a_core.models.sources import Finder
from v2a_core.protocols import JSON, AudioEncoder
from v2a_core.tables.columns import Column

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Weights:
    """What the findings of an extractor depend on: its weights, or the program that it is.

    Attributes:
        extractor: Its name.
        source: Of the weights, as the settings name them; of others, the program and its version.
        sha256: Of the file of weights; of others, of `source`.
        bundle: Of weights that come with a bundle, whose copy lies elsewhere on each machine; None for others.
        options: What else changes the findings.
        ears: Loads the bundle's audio encoder on a device; None of what hears with weights of its own.
    """

    extractor: str
    source: str
    sha256: str
    bundle: Bundle | None = None
    options: Mapping[str, JSON] = field(default_factory=dict)
    ears: Callable[[str], AudioEncoder] | None = None

    def path(self) -> Path:
        """The file of weights on this machine, fetched when it is not there.

        Raises:
            ModelError: When it cannot be had, or is another file than that of `sha256`.
        """
        path = find_file(self.extractor, self.source)
        if sha256(path) != self.sha256:
            raise ModelError(f"{path} for the extractor {self.extractor!r} is another file than that of {self.sha256}")
        return path


class FolderExtractor(abc.ABC):
    """Finds something out about each sound, or about the video that it belongs to.

    Attributes:
        columns: What it finds out; null where it says nothing.
        sizes: Numbers in a row of each column of numbers.
        joined: Columns that evaluated rows get of its findings when metrics are computed.
    """

    columns: ClassVar[tuple[Column, ...]]
    sizes: ClassVar[Mapping[str, int]]
    joined: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def row_columns(cls) -> list[Column]:
        """It has a folder of its own."""
        return []


class LoadedExtractor(FolderExtractor):
    """Runs where models run."""

    @classmethod
    @abc.abstractmethod
    def check(cls, weights: Weights) -> None:
        """See whether it runs, before anything is made.

        Raises:
            ModelError: When its weights do not fit.
        """

    @classmethod
    @abc.abstractmethod
    def opened(cls, weights: Weights, device: str) -> Self:
        """The extractor, loaded.

        Args:
            weights: What the findings depend on.
            device: Where it runs.
        """


class ListeningExtractor(LoadedExtractor):
    """Hears sounds.

    Attributes:
        beside: The extractor of videos that belongs to it; empty: there is none.
        with_silence: It hears silence, too, and references after the round trip, for what stands beside a number.
    """

    beside: ClassVar[str] = ""
    with_silence: ClassVar[bool] = True

    @classmethod
    @abc.abstractmethod
    def missing(cls, name: str) -> str:
        """Why there are no findings, and what to do.

        Args:
            name: Of the extractor.
        """

    @classmethod
    def heard(cls, protocol: Protocol) -> Protocol:
        """What it hears of a sound when a protocol is asked for: what the protocol says.

        Args:
            protocol: Which one.
        """
        return protocol


class HearingExtractor(ListeningExtractor):
    """Hears sounds by themselves; its metrics compare with what the one beside it finds."""

    @abc.abstractmethod
    def extract(self, sounds: Sequence[Pcm], protocol: Protocol) -> Mapping[str, pa.Array]:
        """Each of `columns`, a value a sound.

        Args:
            sounds: As they are in their files, of at least a sample each.
            protocol: What is heard of them.
        """


class PairExtractor(ListeningExtractor):
    """Hears sounds together with what the one beside it has found of their videos: a row a pair.

    Attributes:
        seen: The column of the one beside it that it takes.
        refusal: Why a pair may be null, in one word.
    """

    seen: ClassVar[str]
    refusal: ClassVar[str]

    @abc.abstractmethod
    def extract(self, sounds: Sequence[Pcm], seen: Sequence[Floats], protocol: Protocol) -> Mapping[str, pa.Array]:
        """Each of `columns`, a value a pair; null for a pair that cannot be compared.

        Args:
            sounds: As they are in their files, of at least a sample each.
            seen: What was found of the video of each, float32 (N,).
            protocol: What is heard of them.
        """


class WatchingExtractor(LoadedExtractor):
    """Sees frames of the references' videos.

    Attributes:
        frames_per_second: How many it sees; see `v2a_core.media.sampled_frames`.
        side: The shorter side of a frame, pixels.
        square: It sees the square in the middle alone.
    """

    frames_per_second: ClassVar[float]
    side: ClassVar[int]
    square: ClassVar[bool] = False

    @abc.abstractmethod
    def extract(self, films: Sequence[npt.NDArray[np.uint8]]) -> Mapping[str, pa.Array]:
        """Each of `columns`, a value a video.

        Args:
            films: The frames of each, RGB (F, H, W, 3), one at least.
        """


def folder_extractor(name: str) -> type[FolderExtractor]:
    """The extractor of a name.

    Raises:
        ConfigError: When there is none of this name with a folder of its own.
    """
    component = EXTRACTORS[name].component
    if not issubclass(component, FolderExtractor):
        raise ConfigError(f"the extractor {name!r} has no folder of its own")
    return component


def joined_columns(name: str) -> tuple[str, ...]:
    """The columns that evaluated rows get of an extractor's folder; none of one that has no folder."""
    component = EXTRACTORS[name].component
    return component.joined if issubclass(component, FolderExtractor) else ()


def listening_extractor(name: str) -> type[ListeningExtractor]:
    """The extractor of a name.

    Raises:
        ConfigError: When there is none of this name that hears sounds.
    """
    component = EXTRACTORS[name].component
    if not issubclass(component, ListeningExtractor):
        raise ConfigError(f"the extractor {name!r} hears no sounds")
    return component


def hearing_extractor(name: str) -> type[HearingExtractor]:
    """The extractor of a name.

    Raises:
        ConfigError: When there is none of this name that hears sounds by themselves.
    """
    component = EXTRACTORS[name].component
    if not issubclass(component, HearingExtractor):
        raise ConfigError(f"the extractor {name!r} hears no sounds by themselves")
    return component


def of_program(name: str, program: str) -> Weights:
    """What the findings of an extractor without weights depend on.

    Args:
        name: Of the extractor.
        program: Its library and version.
    """
    return Weights(name, program, hashlib.sha256(program.encode()).hexdigest())


def find_file(name: str, source: str) -> Path:
    """The file of an extractor's weights on this machine, fetched when it is not there.

    Raises:
        ModelError: When it cannot be had.
    """
    return Finder(f"extractors.{name}").weight_file(source)
