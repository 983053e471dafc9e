"""CNN14 of the PANNs at 32 kHz: embeddings for Fréchet distances, logits for KL divergence and inception score."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.extractors.network import LOGITS, Network, NetworkExtractor, NetworkSettings, embedding_column
from v2a_core.tables.columns import Column


class Cnn14At32k(NetworkExtractor):
    """The tagger whose sounds have 32 kHz."""

    published = "Cnn14_mAP=0.431.pth of zenodo.org/records/3987831"
    columns: ClassVar[tuple[Column, ...]] = (embedding_column("2048 numbers, not negative"), LOGITS)
    sizes: ClassVar[Mapping[str, int]] = {"embedding": 2048, "logits": 527}

    @classmethod
    def load(cls, path: Path) -> Network:
        """See `cnn14.load`; the other rate's checkpoint is refused."""
        from v2a_core.metrics.extractors.networks import cnn14

        return cnn14.load(path, sample_rate=32_000)


EXTRACTORS.add("cnn14-32k", Cnn14At32k, NetworkSettings)
