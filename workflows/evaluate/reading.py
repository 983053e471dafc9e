"""The stages of extractors with folders of their own that hold no model: sounds are read, videos are looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from v2a_core.media.config import GuardSettings
from v2a_core.metrics.extractors.folder import WatchingExtractor
from v2a_core.metrics.hearing_protocols import Protocol
from v2a_core.stages.motion import see_video
from v2a_core.stages.sounds import read_sound
from v2a_core.stages.watch import read_film


@dataclass(frozen=True)
class ReadSounds:
    """Rows of `features.SOUNDS` in, sounds out."""

    guard: GuardSettings
    schema: pa.Schema

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Read a block of sounds, one at a time."""
        for item in batch.to_pylist():
            yield pa.Table.from_pylist([read_sound(item, self.guard)], schema=self.schema)


@dataclass(frozen=True)
class SeeVideos:
    """Rows of `features.SOUNDS` in, how their videos move out."""

    guard: GuardSettings
    protocol: Protocol
    schema: pa.Schema

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """See a block of videos, one at a time."""
        for item in batch.to_pylist():
            yield pa.Table.from_pylist([see_video(item, self.guard, self.protocol)], schema=self.schema)


@dataclass(frozen=True)
class ReadFilms:
    """Rows of `features.SOUNDS` in, frames of their videos out."""

    guard: GuardSettings
    protocol: Protocol
    extractor: type[WatchingExtractor]
    schema: pa.Schema

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Read a block of videos, one at a time."""
        for item in batch.to_pylist():
            film = read_film(item, self.guard, self.protocol, self.extractor)
            yield pa.Table.from_pylist([film], schema=self.schema)
