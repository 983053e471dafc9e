"""The stages of `v2a evaluate`: soundtracks are read, then heard."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from v2a_core.metrics.config import ExtractorSettings
from v2a_core.metrics.extractors.base import Hearing
from v2a_core.metrics.extractors.clap import CLAP
from v2a_core.metrics.extractors.folder import Weights, hearing_extractor
from v2a_core.metrics.extractors.schema import read_schema
from v2a_core.metrics.hearing_protocols import Protocol
from v2a_core.models import Bundle
from v2a_core.protocols import TextEncoder
from v2a_core.stages.listen import ReadSettings, Riders, batch_extractors, embed_sounds, read_soundtrack
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
    """Samples in, what is heard out; an actor holds CLAP's two towers and the judge.

    CLAP and the judge have folders of their own, but hear in this one pass: jobs by themselves would read every sound
    again, and cost more than both do.

    Attributes:
        bundle: The models.
        extractors: Settings of those whose columns are in the rows.
        protocol: What is heard of a sound.
        riders: Those with folders of their own, CLAP among them.
        given: Whether CLAP's embeddings of references come from elsewhere.
    """

    bundle: Bundle
    extractors: ExtractorSettings
    protocol: Protocol
    riders: Sequence[Weights]
    given: bool

    def load(self) -> Callable[[pa.Table], pa.Table]:
        """Load the ears; the text tower comes with the first caption."""
        local = self.bundle.resolve()
        hearing = Hearing(
            spec=local.media_spec(),
            protocol=self.protocol,
            text=functools.cache(self._text),
            models=local,
        )
        extractors = batch_extractors(self.extractors, hearing)
        riders = {found.extractor: hearing_extractor(found.extractor).opened(found, device()) for found in self.riders}
        made_alone = frozenset({CLAP} if self.given else ())
        return lambda batch: embed_sounds(batch, extractors, Riders(riders, self.protocol, made_alone))

    def _text(self) -> TextEncoder:
        from v2a_core.generators import load_text_encoder

        return load_text_encoder(self.bundle.resolve())
