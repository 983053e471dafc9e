"""How CLAP hears a sound: its embedding, and how close that is to the condition, the caption and the original."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np
import pyarrow as pa

from v2a_core.config import Settings
from v2a_core.media.resample import clap_waveform
from v2a_core.media.types import MediaError, Pcm
from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.extractors.base import BatchExtractor, Floats, Sounds
from v2a_core.metrics.similarity import cosine
from v2a_core.models import LocalBundle
from v2a_core.tables import arrays
from v2a_core.tables.columns import Column
from v2a_core.tables.schema import EMBEDDING_DIM, FLOAT, FLOATS


class ClapExtractor(BatchExtractor):
    """Embeddings (512, L2-normalised) and cosines."""

    columns: ClassVar[tuple[Column, ...]] = (
        Column("clap_embedding", FLOATS, "CLAP's embedding of the made sound, 512 numbers of norm 1"),
        Column("reference_embedding", FLOATS, "the same of the original sound"),
        Column("similarity_to_condition", FLOAT, "of the made sound to what it was made from; cosine in CLAP's space"),
        Column("similarity_to_caption", FLOAT, "to the catalog's caption; cosine"),
        Column("similarity_to_reference", FLOAT, "to the original sound; cosine"),
    )

    @classmethod
    def weights(cls, settings: Settings | None, models: LocalBundle) -> str | None:
        """Those of the bundle's audio encoder."""
        return models.fingerprints()["audio"]

    def extract(self, sounds: Sounds) -> Mapping[str, pa.Array]:
        """Embed what was made, the originals if they are wanted, and the captions of what was made."""
        made = self._encode(sounds.made)
        reference = self._encode(sounds.reference if self.hearing.embed_references else [None] * len(made))
        return {
            "clap_embedding": arrays.vectors(made, EMBEDDING_DIM),
            "reference_embedding": arrays.vectors(reference, EMBEDDING_DIM),
            "similarity_to_condition": _similarities(made, sounds.conditions),
            "similarity_to_caption": _similarities(made, self._captions(sounds)),
            "similarity_to_reference": _similarities(made, reference),
        }

    def refused(self, extracted: Mapping[str, pa.Array]) -> Mapping[int, MediaError]:
        """Those whose embedding is not finite."""
        made = arrays.read_vectors(pa.chunked_array([extracted["clap_embedding"]]))
        error = MediaError("audio", "NonFinite", "the embedding of the sound is not finite")
        return {row: error for row, item in enumerate(made) if item is not None and not np.isfinite(item).all()}

    def _encode(self, sounds: Sequence[Pcm | None]) -> list[Floats | None]:
        protocol, spec = self.hearing.protocol, self.hearing.spec
        present = [clap_waveform(protocol.mono(item), item.sample_rate, spec) for item in sounds if item is not None]
        embedded: Iterator[Floats] = iter(self.hearing.audio().encode(np.stack(present)) if present else ())
        return [None if item is None else next(embedded) for item in sounds]

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


EXTRACTORS.add("clap", ClapExtractor)
