"""How close CLAP hears a sound to the condition that it was made from, and to its caption."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np
import pyarrow as pa

from v2a_core.config import Settings
from v2a_core.media.types import MediaError
from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.extractors.base import BatchExtractor, Floats, Sounds
from v2a_core.metrics.extractors.clap import CLAP
from v2a_core.metrics.similarity import cosine
from v2a_core.models import LocalBundle
from v2a_core.tables.columns import Column
from v2a_core.tables.schema import FLOAT


class TextSimilarity(BatchExtractor):
    """Cosines of what CLAP heard, in its space."""

    heard_by: ClassVar[str] = CLAP
    columns: ClassVar[tuple[Column, ...]] = (
        Column("similarity_to_condition", FLOAT, "of the made sound to what it was made from; cosine in CLAP's space"),
        Column("similarity_to_caption", FLOAT, "to the catalog's caption; cosine"),
    )

    @classmethod
    def weights(cls, settings: Settings | None, models: LocalBundle) -> str | None:
        """Those of the bundle's audio encoder."""
        return models.fingerprints()["audio"]

    def extract(self, sounds: Sounds) -> Mapping[str, pa.Array]:
        """Embed the captions of what was made, and compare."""
        return {
            "similarity_to_condition": _similarities(sounds.embedded, sounds.conditions),
            "similarity_to_caption": _similarities(sounds.embedded, self._captions(sounds)),
        }

    def refused(self, sounds: Sounds) -> Mapping[int, MediaError]:
        """Those whose embedding is not finite."""
        error = MediaError("audio", "NonFinite", "the embedding of the sound is not finite")
        embedded = enumerate(sounds.embedded)
        return {row: error for row, item in embedded if item is not None and not np.isfinite(item).all()}

    def _captions(self, sounds: Sounds) -> list[Floats | None]:
        pairs = zip(sounds.captions, sounds.made, strict=True)
        wanted = [caption if made is not None and caption else None for caption, made in pairs]
        texts = [caption for caption in wanted if caption is not None]
        embedded: Iterator[Floats] = iter(self.hearing.text().embed_text(texts) if texts else ())
        return [None if caption is None else next(embedded) for caption in wanted]


def _similarities(first: Sequence[Floats | None], second: Sequence[Floats | None]) -> pa.Array:
    values = [
        None if a is None or b is None else float(cosine(a[None], b[None])[0])
        for a, b in zip(first, second, strict=True)
    ]
    return pa.array(values, pa.float32())


EXTRACTORS.add("text-similarity", TextSimilarity)
