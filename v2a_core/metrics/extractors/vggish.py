"""VGGish: embeddings for the Fréchet audio distance (FAD)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from v2a_core.media.types import Pcm
from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.extractors.network import Network, NetworkExtractor, NetworkSettings, embedding_column
from v2a_core.metrics.hearing_protocols import Protocol
from v2a_core.tables.columns import Column
from v2a_core.tables.schema import FLOATS


class VggishExtractor(NetworkExtractor):
    """Several embeddings a sound: one for each 0.96 s."""

    published = "vggish-10086976.pth of torchvggish v0.1"
    columns: ClassVar[tuple[Column, ...]] = (
        embedding_column("128 numbers for each 0.96 s, one after the other; empty below 0.975 s"),
    )
    sizes: ClassVar[Mapping[str, int]] = {"embedding": 128}

    @classmethod
    def load(cls, path: Path) -> Network:
        """See `vggish.load`."""
        from v2a_core.metrics.extractors.networks import vggish

        return vggish.load(path)

    def hear(self, sounds: Sequence[Pcm], protocol: Protocol) -> Mapping[str, pa.Array]:
        """The patches of each sound."""
        rate = self._network.sample_rate
        found = self._network.embed([protocol.at_rate(sound, rate) for sound in sounds], rate)
        patches = [found["embedding"][found["sound"] == number].ravel() for number in range(len(sounds))]
        return {"embedding": pa.array(patches, FLOATS)}


EXTRACTORS.add("vggish", VggishExtractor, NetworkSettings)
