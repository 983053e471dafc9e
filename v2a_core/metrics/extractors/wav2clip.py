"""Wav2CLIP: sounds in the space of CLIP's images, for the CLIP score."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.extractors.network import Network, NetworkExtractor, NetworkSettings, embedding_column
from v2a_core.tables.columns import Column


class Wav2ClipExtractor(NetworkExtractor):
    """The encoder that was taught by CLIP ViT-B/32."""

    published = "Wav2CLIP.pt of lyrebird-wav2clip v0.1.0-alpha"
    columns: ClassVar[tuple[Column, ...]] = (embedding_column("512 numbers of CLIP's space, not normalised"),)
    sizes: ClassVar[Mapping[str, int]] = {"embedding": 512}

    @classmethod
    def load(cls, path: Path) -> Network:
        """See `wav2clip.load`."""
        from v2a_core.metrics.extractors.networks import wav2clip

        return wav2clip.load(path)


EXTRACTORS.add("wav2clip", Wav2ClipExtractor, NetworkSettings)
