"""The stages of `v2a evaluate`: soundtracks are read, then heard."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from v2a_core.encoders.config import EncoderSettings
from v2a_core.metrics.config import ExtractorSettings
from v2a_core.metrics.extractors.base import Hearing
from v2a_core.metrics.extractors.folder import Weights, hearing_extractor
from v2a_core.metrics.extractors.schema import read_schema
from v2a_core.metrics.hearing_protocols import Protocol
from v2a_core.models import Bundle
from v2a_core.protocols import AudioEncoder, TextEncoder
from v2a_core.stages.listen import ReadSettings, batch_extractors, embed_sounds, read_soundtrack
from workflows.cluster_runtime.pools import device
from workflows.streaming.stages import ActorStage


@dataclass(frozen=True)
class ReadStage:
    """Rows of an index in, with samples out: of the soundtracks, and of the originals."""

    settings: ReadSettings

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Read a block of soundtracks, one at a time."""
        schema = read_schema()
        for row in batch.to_pylist():
            yield pa.Table.from_pylist(read_soundtrack(row, self.settings), schema=schema)


@dataclass(frozen=True)
class ListenStage(ActorStage):
    """Samples in, embeddings out; an actor holds CLAP's two towers.

    Extractors with folders of their own that are as light ride along: a job by itself would cost more than they do.
    """

    bundle: Bundle
    settings: EncoderSettings
    extractors: ExtractorSettings
    protocol: Protocol
    embed_references: bool
    riders: Sequence[Weights]

    def load(self) -> Callable[[pa.Table], pa.Table]:
        """Load the ears; the text tower comes with the first caption."""
        encoder, local = self._audio(), self.bundle.resolve()
        hearing = Hearing(
            spec=local.media_spec(),
            protocol=self.protocol,
            audio=lambda: encoder,
            text=functools.cache(self._text),
            models=local,
            embed_references=self.embed_references,
        )
        extractors = batch_extractors(self.extractors, hearing)
        riders = {found.extractor: hearing_extractor(found.extractor).opened(found, device()) for found in self.riders}
        return lambda batch: embed_sounds(batch, extractors, riders, self.protocol)

    def _audio(self) -> AudioEncoder:
        from v2a_core.encoders import build_audio

        return build_audio(self.bundle.resolve(), self.settings, device())

    def _text(self) -> TextEncoder:
        from v2a_core.generators import load_text_encoder

        return load_text_encoder(self.bundle.resolve())
