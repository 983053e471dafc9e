"""The stages of `v2a evaluate`: soundtracks are read, then heard."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from v2a_core.encoders.config import EncoderSettings
from v2a_core.metrics import inputs
from v2a_core.models import Bundle
from v2a_core.protocols import TextEncoder
from v2a_core.stages.listen import Ears, ReadSettings, embed_sounds, read_soundtrack
from v2a_core.tables.evaluated import READ
from workflows.cluster_runtime.pools import device
from workflows.streaming.stages import ActorStage


@dataclass(frozen=True)
class ReadStage:
    """Rows of an index in, with samples out: of the soundtracks, and of the originals."""

    settings: ReadSettings

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Read a block of soundtracks, one at a time."""
        for row in batch.to_pylist():
            yield pa.Table.from_pylist(read_soundtrack(row, self.settings), schema=READ)


@dataclass(frozen=True)
class ListenStage(ActorStage):
    """Samples in, embeddings and verdicts out; an actor holds CLAP's two towers and the judge."""

    bundle: Bundle
    settings: EncoderSettings
    judge: str | None
    embed_references: bool

    def load(self) -> Callable[[pa.Table], pa.Table]:
        """Load the ears; the text tower comes with the first caption."""
        from v2a_core.encoders.clap import ClapEncoder

        local = self.bundle.resolve()
        ears = Ears(
            ClapEncoder(local, self.settings, device()),
            functools.cache(self._text),
            inputs.fetch_judge(self.judge) if self.judge else None,
            local.media_spec(),
            self.embed_references,
        )
        return lambda batch: embed_sounds(batch, ears)

    def _text(self) -> TextEncoder:
        from v2a_core.generators import load_text_encoder

        return load_text_encoder(self.bundle.resolve())
