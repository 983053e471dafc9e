"""What is already done, read from the output itself: there is no side database that could disagree with it.

Ids stay in columns of numbers: a million finished sources cost some 60 MB, and are compared all at once.
"""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from v2a_core import storage
from v2a_core.compute.ids import Flags, Ids, IdTable, Positions
from v2a_core.compute.threads import ScopedThreads
from v2a_core.outputs import manifest
from v2a_core.outputs.versions import Rejects, Versions, merge, of_part
from v2a_core.tables.latest import COLUMNS, latest
from v2a_core.tables.partial import Partial

_REASONS = ("status", "reject_stage", "reject_type")
_PARTS_AT_ONCE = 8  # of remote ones: that is waiting, not computing


class UnreadablePartError(OSError):
    """A file of an output that cannot be used."""


@dataclass(frozen=True)
class Totals:
    """What an output holds of the newest version of each source.

    Attributes:
        sources: Sources with a row.
        good: Rows that are good.
        rejected: Rows that are rejected, by reason.
    """

    sources: int = 0
    good: int = 0
    rejected: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Ledger:
    """The finished work of an output.

    Attributes:
        partial: What there is of each source that is not complete, by its id.
        parts: Rows of each file that holds them, by its name.
        versions: What there is of each version of a source.
        rejects: Rejected rows, with their reasons.
    """

    partial: dict[str, Partial] = field(default_factory=dict)
    parts: dict[str, int] = field(default_factory=dict)
    versions: Versions = field(default_factory=Versions.none)
    rejects: Rejects = field(default_factory=Rejects)

    @functools.cached_property
    def _places(self) -> IdTable:
        return IdTable(self.versions.ids)

    @functools.cached_property
    def _newest(self) -> Flags:
        return self.versions.newest()

    @property
    def rows(self) -> int:
        """Rows of the output."""
        return sum(self.parts.values())

    def unfinished(self, ids: Ids) -> Positions:
        """Positions of the sources that are not complete."""
        at = self._places.find(ids)
        done = np.zeros(len(ids), bool)
        done[at >= 0] = self.versions.complete[at[at >= 0]]
        return np.flatnonzero(~done)

    def expected_again(self) -> list[str]:
        """Ids of rows that a run may make a second time: those of sources that it takes up again."""
        return [segment for partial in self.partial.values() for segment in partial.segments]

    def good_among(self, ids: Ids) -> int:
        """How many of some sources have a good row."""
        at = np.unique(self._places.find(ids))
        at = at[at >= 0]
        return int(np.count_nonzero((self.versions.good[at] > 0) & self._newest[at]))

    def usable(self, ids: Ids) -> Flags:
        """Which of some sources are complete and have a good row, bool (n,)."""
        at, found = self._places.find(ids), np.zeros(len(ids), bool)
        there = np.flatnonzero(at >= 0)
        found[there] = (self.versions.complete & (self.versions.good > 0))[at[there]]
        return found

    def totals(self, replaced: Ids | None = None) -> Totals:
        """What the output held before this run.

        Args:
            replaced: Keys of the sources of which a newer version has come since: theirs no longer counts.
        """
        counts = self._newest.copy()
        if replaced is not None and len(replaced):
            counts &= IdTable(replaced).find(self.versions.keys) < 0
        rejected: Counter[str] = Counter()
        for reason, rows in self.rejects.count(self._places, counts):
            rejected[reason] += rows
        return Totals(int(np.count_nonzero(counts)), int(self.versions.good[counts].sum()), rejected)

    def other_versions(self, keys: Ids, ids: Ids) -> Positions:
        """Which sources, told by key and id, the output has in another version only."""
        newest = np.flatnonzero(self._newest)
        at = IdTable(self.versions.keys[newest]).find(keys)
        known = np.flatnonzero(at >= 0)
        theirs = self.versions.ids[newest[at[known]]]
        differ: Flags = np.any(theirs != ids[known], axis=1)
        return known[differ]


def part_files(folder: str) -> list[str]:
    """The committed Parquet parts of a folder, in the order in which they were written."""
    return [uri for uri in storage.list_files(folder, ".parquet") if uri.rsplit("/", 1)[-1].startswith("part-")]


def read_columns(folder: str, columns: Sequence[str]) -> pa.Table | None:
    """Some columns of all parts of a folder; None when there are no parts."""
    tables = read_parts(folder, columns)
    return pa.concat_tables(tables.values()) if tables else None


def read_parts(folder: str, columns: Sequence[str]) -> dict[str, pa.Table]:
    """Some columns of each part of a folder, by its URI.

    Raises:
        UnreadablePartError: When one is damaged, or belongs to another output; names it and what to do.
    """
    return dict(each_part(folder, columns))


def each_part(folder: str, columns: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
    """The same, one after the other; some of those that come are read already.

    Raises (while iterating):
        UnreadablePartError: As above.
    """
    identity = manifest.recorded_identity(folder.rpartition("/")[0])
    uris = part_files(folder)
    with ScopedThreads(_PARTS_AT_ONCE) as pool:
        coming = [pool.submit(read_part, uri, columns) for uri in uris[:_PARTS_AT_ONCE]]
        for number, uri in enumerate(uris):
            table = coming.pop(0).result()
            if number + _PARTS_AT_ONCE < len(uris):
                coming.append(pool.submit(read_part, uris[number + _PARTS_AT_ONCE], columns))
            check_identity(uri, table.schema, identity)
            yield uri, table


def check_identity(uri: str, schema: pa.Schema, identity: str | None) -> None:
    """Refuse a part of another output.

    Args:
        uri: The part.
        schema: Its schema, with the file's metadata.
        identity: That of the manifest beside it (`manifest.recorded_identity`).

    Raises:
        UnreadablePartError: When it says that it belongs to another.
    """
    found = (schema.metadata or {}).get(b"v2a.identity", b"").decode()
    if identity is not None and found not in ("", identity):
        raise UnreadablePartError(
            f"{uri} belongs to another output (identity {found}, that of the manifest is {identity}): "
            f"`v2a verify {_output_of(uri)} --repair` takes it out, then the same command goes on"
        )


def read_latest(folder: str, columns: Sequence[str]) -> pa.Table | None:
    """The same of the newest version of each source."""
    table = read_columns(folder, list(dict.fromkeys([*columns, *COLUMNS])))
    return None if table is None else latest(table).select(list(columns))


def read_part(uri: str, columns: Sequence[str]) -> pa.Table:
    """Some columns of a part; of a remote one only they are fetched.

    Raises:
        UnreadablePartError: When it is damaged; names it and what to do.
    """
    with storage.open_read(uri) as file, reading(uri):
        return pq.read_table(file, columns=list(columns), page_checksum_verification=True)


def read_batches(uri: str, columns: Sequence[str], rows: int = 1024) -> Iterator[pa.Table]:
    """Some columns of a part, a few rows at a time; a row group is in memory, not the part.

    Raises:
        UnreadablePartError: When it is damaged; names it and what to do.
    """
    with storage.open_read(uri) as file, reading(uri):
        parquet = pq.ParquetFile(file, page_checksum_verification=True)
        for group in range(parquet.num_row_groups):
            # By row group: a batch reader's memory grows with the file.
            table = parquet.read_row_group(group, columns=list(columns), use_threads=False)
            for start in range(0, table.num_rows, rows):
                yield table.slice(start, rows).combine_chunks()
            # Before the next one is read; what was freed would stay with Arrow's allocator, a hundred megabytes of it.
            del table
            pa.default_memory_pool().release_unused()


def read_group(uri: str, group: int, columns: Sequence[str]) -> pa.Table:
    """Some columns of a row group of a part.

    Raises:
        UnreadablePartError: When it is damaged; names it and what to do.
    """
    with storage.open_read(uri) as file, reading(uri):
        return pq.ParquetFile(file, page_checksum_verification=True).read_row_group(group, columns=list(columns))


def places_of(folder: str, id_column: str) -> dict[str, tuple[str, int]]:
    """Where each row of a folder lies: its part and row group, by its id.

    Raises:
        UnreadablePartError: When a part is damaged; names it and what to do.
    """
    found: dict[str, tuple[str, int]] = {}
    for uri in part_files(folder):
        with storage.open_read(uri) as file, reading(uri):
            parquet = pq.ParquetFile(file, page_checksum_verification=True)
            for group in range(parquet.num_row_groups):
                ids = parquet.read_row_group(group, columns=[id_column])[id_column]
                found |= dict.fromkeys(ids.to_pylist(), (uri, group))
    return found


@contextlib.contextmanager
def reading(uri: str) -> Iterator[None]:
    """What a Parquet reader says of a damaged part, for a person.

    Raises:
        UnreadablePartError: Instead of the reader's own errors; names the part and what to do.
    """
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, UnreadablePartError) or (isinstance(error, OSError) and error.errno is not None):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UnreadablePartError(
            f"{uri} is damaged ({reason}): `v2a verify {_output_of(uri)} --repair` takes it out, then the command that "
            "wrote it makes its rows anew"
        ) from None


def _output_of(part: str) -> str:
    return part.rsplit("/", 2)[0]


def embeddings_ledger(folder: str) -> Ledger:
    """The ledger of an output with a row a segment: a source is complete when all its segments have one.

    A source that was rejected as a whole has one row, which is no segment, and a segment count of 0.
    """
    return _ledger(folder, ["segment_id", "segment_index", "segment_count"])


def index_ledger(folder: str) -> Ledger:
    """The ledger of an index: a row is written when the media files of its source are complete."""
    return _ledger(folder, [])


def _ledger(folder: str, of_segments: Sequence[str]) -> Ledger:
    """The ledger of a folder of parts; each is reduced when it is read."""
    parts: dict[str, int] = {}
    found, rests, rejects = [], [], Rejects()
    for uri, table in each_part(folder, [*COLUMNS, *_REASONS, *of_segments]):
        parts[uri.rsplit("/", 1)[-1]] = table.num_rows
        versions, rest = of_part(table, segmented=bool(of_segments))
        found.append(versions)
        rests.append(rest)
        rejects.add(table)
    if not parts:
        return Ledger()
    whole, rest = merge(found, rests)
    return Ledger(_partial(rest), parts, whole, rejects)


def _partial(segments: pa.Table) -> dict[str, Partial]:
    partial: dict[str, Partial] = {}
    for row in segments.to_pylist():
        known = partial.setdefault(row["source_id"], Partial(count=row["count"]))
        known.segments.append(row["segment_id"])
        known.indices.append(row["segment_index"])
    return partial
