"""The stages of extractors with folders of their own that hold no model: sounds are read, videos are looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from v2a_core.media.config import GuardSettings
from v2a_core.metrics.extractors.folder import WatchingExtractor
from v2a_core.metrics.hearing_protocols import Protocol
from v2a_core.outputs.ledger import read_group
from v2a_core.stages.motion import see_video
from v2a_core.stages.pairs import read_pair
from v2a_core.stages.sounds import read_sound
from v2a_core.stages.watch import read_film
from v2a_core.tables import arrays


@dataclass(frozen=True)
class ReadSounds:
    """Rows of `features.SOUNDS` in, sounds out."""

    guard: GuardSettings
    schema: pa.Schema

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Read a block of sounds, one at a time."""
        for item in batch.to_pylist():
            yield pa.Table.from_pylist([read_sound(item, self.guard)], schema=self.schema)


# Where the row of a pair's video lies; null where there is none.
PLACE = (pa.field("part", pa.string()), pa.field("group", pa.int32()))
_SEEN = ("segment_id", "status", "reject_stage", "reject_type", "reject_message")


@dataclass(frozen=True)
class ReadPairs:
    """Rows of `features.PAIRS` with `PLACE` in, sounds with what was seen of their videos out."""

    guard: GuardSettings
    column: str
    schema: pa.Schema

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Read a block of pairs whose videos lie together; sounds one at a time."""
        items = batch.to_pylist()
        for part, group in dict.fromkeys((item["part"], item["group"]) for item in items):
            together = [item for item in items if (item["part"], item["group"]) == (part, group)]
            videos = self._videos(part, group, {item["video_id"] for item in together}) if part else {}
            for item in together:
                pair = read_pair(item, videos.get(item["video_id"]), self.column, self.guard)
                yield pa.Table.from_pylist([pair], schema=self.schema)

    def _videos(self, part: str, group: int, wanted: set[str]) -> dict[str, dict[str, Any]]:
        table = read_group(part, group, [*_SEEN, self.column])
        table = table.filter(pc.is_in(table["segment_id"], value_set=pa.array(sorted(wanted), pa.string())))
        seen = arrays.read_vectors(table[self.column])
        rows = table.select(list(_SEEN)).to_pylist()
        return {row["segment_id"]: row | {self.column: found} for row, found in zip(rows, seen, strict=True)}


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
