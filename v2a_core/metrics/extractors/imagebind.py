"""ImageBind's embeddings of sounds, for its score; those of videos are in `imagebind_video`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.extractors.folder import Weights
from v2a_core.metrics.extractors.network import Network, NetworkExtractor, NetworkSettings, embedding_column
from v2a_core.metrics.hearing_protocols import WHOLE, Protocol
from v2a_core.tables.columns import Column


class ImageBindExtractor(NetworkExtractor):
    """The tower for sounds."""

    published = "imagebind_huge.pth of facebookresearch/ImageBind (licence CC BY-NC-SA 4.0: not for commercial use)"
    beside: ClassVar[str] = "imagebind-video"
    columns: ClassVar[tuple[Column, ...]] = (embedding_column("1024 numbers, the mean of three clips' embeddings"),)
    sizes: ClassVar[Mapping[str, int]] = {"embedding": 1024}

    @classmethod
    def heard(cls, protocol: Protocol) -> Protocol:
        """By the protocol of av-benchmark the first channel of the whole file, as its code does for this network."""
        if protocol.hears_as("av-benchmark"):
            return replace(protocol, length_s=WHOLE, channels="first")
        return protocol

    @classmethod
    def check(cls, weights: Weights) -> None:
        """Names and shapes fit."""
        from v2a_core.metrics.extractors.networks import imagebind

        imagebind.check(imagebind.SoundTower, weights.path())

    @classmethod
    def load(cls, path: Path) -> Network:
        """See `imagebind.load`."""
        from v2a_core.metrics.extractors.networks import imagebind

        return imagebind.load(imagebind.SoundTower, path)


EXTRACTORS.add("imagebind", ImageBindExtractor, NetworkSettings)
