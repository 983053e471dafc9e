"""PaSST: embeddings for a Fréchet distance, logits for KL divergence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.extractors.network import LOGITS, Network, NetworkExtractor, NetworkSettings, embedding_column
from v2a_core.tables.columns import Column


class PasstExtractor(NetworkExtractor):
    """The transformer that hears 10 s."""

    published = "passt-s-f128-p16-s10-ap.476-swa.pt of PaSST v0.0.1-audioset"
    columns: ClassVar[tuple[Column, ...]] = (embedding_column("768 numbers"), LOGITS)
    sizes: ClassVar[Mapping[str, int]] = {"embedding": 768, "logits": 527}

    @classmethod
    def load(cls, path: Path) -> Network:
        """See `passt.load`."""
        from v2a_core.metrics.extractors.networks import passt

        return passt.load(path)


EXTRACTORS.add("passt", PasstExtractor, NetworkSettings)
