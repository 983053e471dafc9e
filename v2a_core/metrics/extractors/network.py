"""Extractors that are published networks: where their weights come from, and what they give for a sound.

Weights are named by path, URI or `owner/repo:file` of the model hub, read as data only, and known by their sha256.

Shapes: N sounds, D numbers of an embedding.
"""

from __future__ import annotations

import abc
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from v2a_core.compute.threads import side_by_side
from v2a_core.config import ConfigError, Settings, setting
from v2a_core.media.types import Pcm
from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.extractors.folder import HearingExtractor, ListeningExtractor, Weights, find_file
from v2a_core.metrics.hearing_protocols import Protocol as HearingProtocol
from v2a_core.models import ModelError
from v2a_core.models.digests import sha256
from v2a_core.tables import arrays
from v2a_core.tables.columns import Column
from v2a_core.tables.schema import FLOATS

Arrays = Mapping[str, npt.NDArray[Any]]


class NetworkSettings(Settings):
    """Where the weights of a published network come from."""

    weights: str | None = setting(
        None,
        "published checkpoint: a path, a URI, or `owner/repo:file` of the model hub; none: the network is not used",
    )
    sha256: str | None = setting(None, "of that file, in hex; another one is refused", pattern="^[0-9a-f]{64}$")


class Network(Protocol):
    """What a file of `v2a_core.metrics.extractors.networks` loads."""

    @property
    def sample_rate(self) -> int:
        """Of the sound it takes, Hz."""

    def embed(self, waveforms: Sequence[npt.NDArray[np.float32]], sample_rate: int) -> Arrays:
        """Named arrays of N sounds of any lengths."""

    def to(self, device: str) -> Any:
        """Move it."""


class PublishedExtractor(ListeningExtractor):
    """A published network, used where the settings name its weights.

    Attributes:
        published: The file that is meant, for messages.
    """

    published: ClassVar[str]

    @classmethod
    def missing(cls, name: str) -> str:
        """No settings name its weights."""
        return f"extractors.{name}.weights names no checkpoint: give {cls.published}"


class NetworkExtractor(PublishedExtractor, HearingExtractor):
    """A published network with its front end, that hears sounds by themselves.

    Args:
        path: Its checkpoint.
        device: Where it runs.
    """

    def __init__(self, path: Path, device: str) -> None:
        self._network, self._on_cpu = self.load(path), device == "cpu"
        self._network.to(device)

    @classmethod
    def check(cls, weights: Weights) -> None:
        """The checkpoint can be loaded."""
        cls.load(weights.path())

    @classmethod
    def opened(cls, weights: Weights, device: str) -> Self:
        """Fetch the weights where they are not there, and load them."""
        return cls(weights.path(), device)

    @classmethod
    @abc.abstractmethod
    def load(cls, path: Path) -> Network:
        """The network of a checkpoint, on the CPU.

        Raises:
            ModelError: When it cannot be read as data, is of something else, or does not fit.
        """

    def extract(self, sounds: Sequence[Pcm], protocol: HearingProtocol) -> Mapping[str, pa.Array]:
        """Each of `columns`, a value a sound.

        Args:
            sounds: As they are in their files, of at least a sample each.
            protocol: What is heard of them.
        """
        import torch

        protocol = self.heard(protocol)
        lanes = max(1, min(torch.get_num_threads(), len(sounds))) if self._on_cpu else 1
        borders = [len(sounds) * lane // lanes for lane in range(lanes + 1)]
        # Resampling and front ends are many small operations, which threads cannot share: each lane does its own.
        parts = side_by_side(
            lambda span: self.hear(sounds[slice(*span)], protocol), list(itertools.pairwise(borders)), lanes
        )
        return {item.name: pa.concat_arrays([part[item.name] for part in parts]) for item in self.columns}

    def hear(self, sounds: Sequence[Pcm], protocol: HearingProtocol) -> Mapping[str, pa.Array]:
        """The same of some of them, in one thread; see `heard` for the protocol."""
        rate = self._network.sample_rate
        found = self._network.embed([protocol.at_rate(sound, rate) for sound in sounds], rate)
        return as_columns({item.name: found[item.name] for item in self.columns})


def as_columns(found: Arrays) -> dict[str, pa.Array]:
    """Named arrays (N, D) as columns of N vectors."""
    return {name: arrays.vectors(list(values_ND), values_ND.shape[1]) for name, values_ND in found.items()}


def network(name: str) -> type[NetworkExtractor]:
    """The network of a name that hears sounds by themselves.

    Raises:
        ConfigError: When there is none of this name.
    """
    found = networks().get(name)
    if found is None or not issubclass(found, NetworkExtractor):
        known = ", ".join(name for name, kind in networks().items() if issubclass(kind, NetworkExtractor))
        raise ConfigError(f"no network {name!r} among the extractors that hear sounds by themselves; known: {known}")
    return found


def networks() -> dict[str, type[PublishedExtractor]]:
    """All networks by name."""
    components = {name: EXTRACTORS[name].component for name in EXTRACTORS.names()}
    return {name: found for name, found in components.items() if issubclass(found, PublishedExtractor)}


def find_weights(name: str, settings: NetworkSettings) -> Weights | None:
    """The weights that the settings name; None when they name none.

    Raises:
        ConfigError: When they cannot be had, or have another sha256 than the settings say.
    """
    if settings.weights is None:
        return None
    try:
        found = sha256(find_file(name, settings.weights))
    except ModelError as error:
        raise ConfigError(str(error)) from None
    if settings.sha256 not in (None, found):
        raise ConfigError(
            f"extractors.{name}.weights = {settings.weights!r} has the sha256 {found}, and extractors.{name}.sha256 is "
            f"{settings.sha256}: give the file that is meant, or correct the setting"
        )
    return Weights(name, settings.weights, found)


def embedding_column(meaning: str) -> Column:
    """The column of an embedding."""
    return Column("embedding", FLOATS, meaning)


LOGITS = Column("logits", FLOATS, "527 logits of AudioSet's classes")
