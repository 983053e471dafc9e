"""Sets of sounds by their ids: what a system made, and the references.

Sounds of two sets with one key are a pair. Sounds of one source depend on each other, whatever their keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from v2a_core import storage
from v2a_core.catalog import Source
from v2a_core.metrics.systems.features import Member
from v2a_core.tables import rows
from v2a_core.tables.features import SOUNDS, pair_id, sound_id

Span = tuple[float, float]
WHOLE: Span = (0.0, 0.0)
# Not its conditions: as Python objects they are gigabytes of a large index.
_OF_INDEX = ("source_id", "segment_ids", "starts_s", "duration_s")
_ENTRIES = pa.schema([("key", pa.string()), ("of_source", pa.string()), *SOUNDS])


@dataclass(frozen=True)
class SoundSet:
    """Sounds by their keys.

    Attributes:
        table: A row a key: `key`, `of_source`, and the columns of `features.SOUNDS`.
    """

    table: pa.Table

    def sounds(self) -> pa.Table:
        """Each sound once, of `features.SOUNDS`."""
        return once([self])

    def members(self) -> dict[str, list[Member]]:
        """The keys of each sound, by sound id."""
        found: dict[str, list[Member]] = {}
        columns = (self.table[name].to_pylist() for name in ("sound_id", "key", "of_source"))
        for identity, key, source in zip(*columns, strict=True):
            found.setdefault(identity, []).append(Member(key, source))
        return found


def paired(sounds: SoundSet, videos: SoundSet) -> SoundSet:
    """The sounds that have a video, each with it: a row a key, whose sound is known by the id of the pair.

    Args:
        sounds: Of a system, or the references themselves.
        videos: The references; those that are sound files are no videos.

    Returns:
        A set with the columns of `features.PAIRS`.
    """
    there = videos.table.filter(pc.is_valid(videos.table["source"]))
    by_key = dict(zip(there["key"].to_pylist(), there["sound_id"].to_pylist(), strict=True))
    table = sounds.table.filter(pc.is_in(sounds.table["key"], value_set=there["key"].combine_chunks()))
    seen = [by_key[key] for key in table["key"].to_pylist()]
    ids = [pair_id(sound, video) for sound, video in zip(table["sound_id"].to_pylist(), seen, strict=True)]
    table = table.set_column(table.schema.get_field_index("sound_id"), "sound_id", pa.array(ids, pa.string()))
    return SoundSet(table.append_column("video_id", pa.array(seen, pa.string())))


def once(sets: Iterable[SoundSet], columns: pa.Schema = SOUNDS) -> pa.Table:
    """The sounds of several sets, each once; in the order in which they come.

    Args:
        sets: Of them.
        columns: Which: `features.SOUNDS`, or `features.PAIRS` of sets that are paired.
    """
    table = pa.concat_tables([item.table for item in sets]).select(columns.names)
    first: dict[str, int] = {}
    for row, identity in enumerate(table["sound_id"].to_pylist()):
        first.setdefault(identity, row)
    return table.take(pa.array(list(first.values()), pa.int64()))


def sound_set(entries: Sequence[Mapping[str, Any]]) -> SoundSet:
    """A set of entries made by `file_entry` and `video_entry`."""
    return SoundSet(pa.Table.from_pylist([dict(entry) for entry in entries], schema=_ENTRIES))


def file_entry(key: str, of_source: str, uri: str, sha256: str, span: Span = WHOLE) -> dict[str, Any]:
    """An entry of a sound file.

    Args:
        key: Its id.
        of_source: What it is the sound of.
        uri: Where it lies.
        sha256: Of the file.
        span: Start and length in seconds; a length of 0 is all of it.
    """
    return _entry(key, of_source, sha256, span) | {"uri": uri, "name": uri.rsplit("/", 1)[-1]}


def video_entry(key: str, of_source: str, source: Source, version: str, span: Span) -> dict[str, Any]:
    """An entry of a video's own sound.

    Args:
        key: Its id.
        of_source: What it is the sound of.
        source: The video; of a part of it, `start_s` says where that begins.
        version: Changes when the content of the video does.
        span: Start in the part, and length, in seconds.
    """
    start_s = (source.start_s or 0.0) + span[0]
    fields = source.to_row() | {"start_s": start_s, "duration_s": span[1] or source.duration_s}
    packed = rows.pack_source(Source.from_row(fields))
    return _entry(key, of_source, version, (start_s, span[1])) | {"source": packed, "name": source.name}


def single(name: str) -> SoundSet:
    """One sound by itself, whose name says what it is."""
    return sound_set([_entry(name, name, name, WHOLE) | {"name": name}])


def of_index(index: pa.Table, place: str, length_s: float) -> SoundSet:
    """The segments of soundtracks.

    Args:
        index: Of `v2a generate`, its good rows.
        place: Folder or URI that it belongs to.
        length_s: Of a segment.
    """
    entries = []
    for row in index.select([*_OF_INDEX, "audio_path", "audio_sha256"]).to_pylist():
        entries += [made_entry(row, segment, span, place) for segment, span in segments_of(row, length_s)]
    return sound_set(entries)


def made_entry(row: Mapping[str, Any], segment: str, span: Span, place: str) -> dict[str, Any]:
    """An entry of a segment of a soundtrack.

    Args:
        row: Of the index of `v2a generate`.
        segment: Its id.
        span: Start and length in the soundtrack, in seconds.
        place: Folder or URI that the paths of the index are relative to; empty: they are absolute.
    """
    uri = storage.join(place, row["audio_path"]) if place else row["audio_path"]
    whole = len(row["segment_ids"]) == 1
    return file_entry(segment, row["source_id"], uri, row["audio_sha256"], WHOLE if whole else span)


def originals_of(index: pa.Table, length_s: float) -> SoundSet:
    """The original sounds of the same segments, where they are of videos.

    Args:
        index: With `source` (JSON).
        length_s: Of a segment.
    """
    entries = []
    for row in index.select([*_OF_INDEX, "source"]).to_pylist():
        source = rows.unpack_source(row["source"])
        if source.kind == "video":
            found = segments_of(row, length_s)
            entries += [
                video_entry(segment, row["source_id"], source, row["source_id"], span) for segment, span in found
            ]
    return sound_set(entries)


def segments_of(row: Mapping[str, Any], length_s: float) -> list[tuple[str, Span]]:
    """The id of each segment of a soundtrack, and its span in it; see `spans`."""
    return list(zip(row["segment_ids"], spans(row["starts_s"], row["duration_s"], length_s), strict=True))


def spans(starts_s: Sequence[float], duration_s: float, length_s: float) -> list[Span]:
    """Start and length of the segments of a soundtrack, which ends after `duration_s`; one alone is all of it."""
    if len(starts_s) == 1:
        return [(0.0, duration_s)]
    return [(start, min(length_s, duration_s - start)) for start in starts_s]


def _entry(key: str, of_source: str, content: str, span: Span) -> dict[str, Any]:
    identity = sound_id(content, *span)
    return {
        "key": key,
        "of_source": of_source,
        "sound_id": identity,
        "content": content,
        "uri": None,
        "source": None,
        "start_s": span[0],
        "length_s": span[1],
    }
