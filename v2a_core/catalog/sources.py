"""Sources by the million: columns instead of objects, 150 bytes each instead of a thousand.

A list of sources is kept in chunks. A chunk has the columns that any of its sources says something in, and no others.
"""

from __future__ import annotations

import bisect
import itertools
import operator
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from v2a_core.catalog.shard_stream import is_compressed
from v2a_core.catalog.source import Place, Source, source_ids
from v2a_core.compute import ids as ids_of
from v2a_core.compute.ids import Ids, Positions
from v2a_core.media.config import FrameSettings, SegmentSettings

CHUNK = 2**16
_PIECE = 2**12  # sources that are objects at once

_TYPES = {"size": pa.int64(), "member_offset": pa.int64(), "member_size": pa.int64()} | dict.fromkeys(
    ("start_s", "duration_s"), pa.float64()
)
SCHEMA = pa.schema([(name, _TYPES.get(name, pa.string())) for name in Source._fields])
# Most names are how the URI ends: then only their length is kept.
_NAME_CHARS = "name_chars"


class Sources(Sequence[Source]):
    """An immutable list of sources.

    Args:
        chunks: Columns of some sources each, as `columns` makes them.
        keys: `source_key` of each, (N, 2).
    """

    def __init__(self, chunks: Sequence[pa.Table] = (), keys: Ids | None = None) -> None:
        self._chunks = list(chunks)
        self.keys = ids_of.none() if keys is None else keys
        self._ends = list(np.cumsum([chunk.num_rows for chunk in self._chunks], dtype=int))

    def __len__(self) -> int:
        return int(self._ends[-1]) if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> Source: ...
    @overload
    def __getitem__(self, index: slice) -> Sources: ...
    def __getitem__(self, index: int | slice) -> Source | Sources:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        if not -len(self) <= index < len(self):
            raise IndexError(f"source {index} of {len(self)}")
        (source,) = read(self.table(np.array([index % len(self)])))
        return source

    def __iter__(self) -> Iterator[Source]:
        for piece in self._pieces():
            yield from read(piece)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(operator.eq, self, other))

    def take(self, positions: Positions) -> Sources:
        """Some of them, by rising positions."""
        chunks = [chunk.take(pa.array(inside)) for chunk, inside in self._inside(positions)]
        return Sources(chunks, self.keys[positions])

    def table(self, positions: Positions) -> pa.Table:
        """Some of them, by rising positions, as a table for `read`."""
        chunks = [chunk.take(pa.array(inside)) for chunk, inside in self._inside(positions)]
        return pa.concat_tables(chunks, promote_options="default").combine_chunks() if chunks else SCHEMA.empty_table()

    def sizes(self) -> npt.NDArray[np.int64]:
        """Bytes of each, (N,)."""
        return np.concatenate([np.empty(0, np.int64), *(chunk["size"].to_numpy() for chunk in self._chunks)])

    def streams(self) -> npt.NDArray[np.int64]:
        """Of members of a compressed shard the number of the shard, from 0 on, in their order; of others -1, (N,)."""
        found, names = [np.empty(0, np.int64)], dict[str, int]()
        for chunk in self._chunks:
            numbers = np.full(chunk.num_rows, -1, np.int64)
            if "shard_uri" in chunk.column_names:
                shards = chunk["shard_uri"].combine_chunks().dictionary_encode()
                uris = shards.dictionary.to_pylist()
                known = [names.setdefault(uri, len(names)) if is_compressed(uri) else -1 for uri in uris]
                numbers = np.array([*known, -1])[shards.indices.fill_null(len(known)).to_numpy()]
            found.append(numbers)
        return np.concatenate(found)

    def says(self, *names: str) -> bool:
        """Whether any of them says something in one of these columns."""
        return any(name in chunk.column_names for chunk in self._chunks for name in names)

    def ids(self, segments: SegmentSettings, frames: FrameSettings) -> Ids:
        """The `source_id` of each, (N, 2)."""
        parts = [ids_of.pack_digests(source_ids(_places(piece), segments, frames)) for piece in self._pieces()]
        return np.concatenate([ids_of.none(), *parts])

    def kinds(self) -> dict[str, int]:
        """How many there are of each kind."""
        found: Counter[str] = Counter()
        for chunk in self._chunks:
            found.update({row["values"]: row["counts"] for row in pc.value_counts(chunk["kind"]).to_pylist()})
        return dict(found)

    def _pieces(self) -> Iterator[pa.Table]:
        for chunk in self._chunks:
            for start in range(0, chunk.num_rows, _PIECE):
                yield chunk.slice(start, _PIECE)

    def _inside(self, positions: Positions) -> Iterator[tuple[pa.Table, Positions]]:
        """Each chunk that has some of the positions, and where in it they are."""
        start = 0
        while start < len(positions):
            number = bisect.bisect_right(self._ends, int(positions[start]))
            first = self._ends[number - 1] if number else 0
            end = int(np.searchsorted(positions, self._ends[number]))
            yield self._chunks[number], positions[start:end] - first
            start = end


def columns(sources: Sequence[Source]) -> pa.Table:
    """Columns of sources; those that say nothing are left out."""
    found: dict[str, pa.Array] = {}
    for field, column in zip(SCHEMA, zip(*sources, strict=True), strict=True):
        values = pa.array(column, field.type)
        if values.null_count < len(values):
            found[field.name] = values
    if all(source.uri.endswith(source.name) for source in sources):
        del found["name"]
        found[_NAME_CHARS] = pa.array([len(source.name) for source in sources], pa.int32())
    found["kind"] = found["kind"].dictionary_encode()
    return pa.table(found)


def _places(table: pa.Table) -> Iterator[Place]:
    """What tells the sources of such columns from others."""
    nothing = [None] * table.num_rows
    spans = (table[name].to_pylist() if name in table.column_names else nothing for name in ("start_s", "duration_s"))
    return zip(table["uri"].to_pylist(), table["version"].to_pylist(), *spans, strict=True)


def read(table: pa.Table) -> Iterator[Source]:
    """The sources of a table of such columns; others are ignored."""
    nothing = [None] * table.num_rows
    columns = [table[name].to_pylist() if name in table.column_names else None for name in Source._fields]
    if _NAME_CHARS in table.column_names:
        columns[1] = list(map(_name, columns[0] or (), columns[1] or nothing, table[_NAME_CHARS].to_pylist()))
    return itertools.starmap(Source, zip(*(nothing if column is None else column for column in columns), strict=True))


def _name(uri: str, name: str | None, chars: int | None) -> str | None:
    return name if chars is None else uri[len(uri) - chars :]
