"""Synchformer's word on how far a sound is from its video, for DeSync; what it sees is in `synchformer_video`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import pyarrow as pa

from v2a_core.media.types import Pcm
from v2a_core.metrics.desync import OFFSETS
from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.extractors.folder import Floats, PairExtractor, Weights
from v2a_core.metrics.extractors.network import NetworkSettings, PublishedExtractor
from v2a_core.metrics.hearing_protocols import Protocol
from v2a_core.tables import arrays
from v2a_core.tables.columns import Column
from v2a_core.tables.schema import FLOATS

if TYPE_CHECKING:
    from v2a_core.metrics.extractors.networks.synchformer import Sizes


class SynchformerExtractor(PublishedExtractor, PairExtractor):
    """Sounds compared with what was seen of their videos.

    Args:
        path: The checkpoint.
        device: Where it runs.
        sizes: Of the network; None: the published ones.
    """

    published = (
        "synchformer_state_dict.pth of hkchengrex/MMAudio (licence CC BY-NC 4.0: not for commercial use; the network's "
        "own code is under MIT)"
    )
    beside: ClassVar[str] = "synchformer-video"
    seen: ClassVar[str] = "segments"
    refusal: ClassVar[str] = "TooShort"
    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            "first_logits",
            FLOATS,
            "21 logits of offsets from -2 to 2 s, of the first 14 segments, 4.8 s; null for less",
        ),
        Column("last_logits", FLOATS, "the same of the last 14 segments"),
    )
    sizes: ClassVar[Mapping[str, int]] = {"first_logits": OFFSETS, "last_logits": OFFSETS}

    def __init__(self, path: Path, device: str, sizes: Sizes | None = None) -> None:
        from v2a_core.metrics.extractors.networks import synchformer

        self._network = synchformer.load(synchformer.Ears, path, sizes)
        self._network.to(device)

    @classmethod
    def heard(cls, protocol: Protocol) -> Protocol:
        """By the protocol of av-benchmark with the mean value that its code leaves in for this network."""
        return replace(protocol, centred=False) if protocol.hears_as("av-benchmark") else protocol

    @classmethod
    def check(cls, weights: Weights) -> None:
        """Names and shapes fit."""
        from v2a_core.metrics.extractors.networks import synchformer

        synchformer.check(synchformer.Ears, weights.path())

    @classmethod
    def opened(cls, weights: Weights, device: str) -> Self:
        """Fetch the weights where they are not there, and load them."""
        return cls(weights.path(), device)

    def extract(self, sounds: Sequence[Pcm], seen: Sequence[Floats], protocol: Protocol) -> Mapping[str, pa.Array]:
        """The logits of each pair; null of one that is too short."""
        from v2a_core.metrics.extractors.networks.synchformer_inputs import SAMPLE_RATE

        protocol = self.heard(protocol)
        width = self._network.seen_numbers
        films = [video.reshape(-1, width) for video in seen]
        found = self._network.compare([protocol.at_rate(sound, SAMPLE_RATE) for sound in sounds], films)
        ends = zip(*[pair or (None, None) for pair in found], strict=True)
        return {name: arrays.vectors(list(end), OFFSETS) for name, end in zip(self.sizes, ends, strict=True)}


EXTRACTORS.add("synchformer", SynchformerExtractor, NetworkSettings)
