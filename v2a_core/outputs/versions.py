"""What parts hold of each version of a source, in columns of numbers: some 60 bytes a version.

A part is reduced when it is read. Texts are kept only of sources whose segments are not all in one part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from v2a_core.compute import ids as ids_of
from v2a_core.compute.ids import Flags, Ids, Positions
from v2a_core.tables.latest import of_newest
from v2a_core.tables.schema import OK, REJECTED

Counts = npt.NDArray[np.int32]
Times = npt.NDArray[np.int64]

_REST = pa.schema(
    [("source_id", pa.string()), ("segment_id", pa.string()), ("segment_index", pa.int32()), ("count", pa.int32())]
)


@dataclass(frozen=True)
class Versions:
    """Versions of sources.

    Attributes:
        ids: `source_id` of each, (V, 2).
        keys: `source_key`, (V, 2).
        recorded: When its last row was written, microseconds (V,).
        good: Its good rows (V,).
        segments: Its segments that have a row (V,).
        expected: Its segments in all (V,); 0 of one that was rejected as a whole.
    """

    ids: Ids
    keys: Ids
    recorded: Times
    good: Counts
    segments: Counts
    expected: Counts

    @classmethod
    def none(cls) -> Versions:
        """No versions."""
        nobody, counts = ids_of.none(), np.empty(0, np.int32)
        return cls(nobody, nobody, np.empty(0, np.int64), counts, counts, counts)

    @property
    def complete(self) -> Flags:
        """Which have nothing left to do, bool (V,)."""
        return self.segments >= self.expected

    def newest(self) -> Flags:
        """Of each version, whether it is the last one of its source, bool (V,)."""
        return of_newest(self.keys, self.ids, self.recorded)


@dataclass
class Rejects:
    """Rejected rows.

    Attributes:
        ids: Of their sources, by part.
        codes: Their reasons, numbers of `reasons`, by part.
        reasons: Each once.
    """

    ids: list[Ids] = field(default_factory=list)
    codes: list[Counts] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)

    def add(self, table: pa.Table) -> None:
        """Take the rejected rows of a part."""
        rejected = table.filter(pc.equal(table["status"], REJECTED))
        if rejected.num_rows:
            names = pc.binary_join_element_wise(rejected["reject_stage"], rejected["reject_type"], ": ").to_pylist()
            codes = [self.reasons.setdefault(name, len(self.reasons)) for name in names]
            self.ids.append(ids_of.pack(rejected["source_id"]))
            self.codes.append(np.array(codes, np.int32))

    def count(self, places: ids_of.IdTable, counted: Flags) -> Iterator[tuple[str, int]]:
        """Each reason, and how many rows of the versions that count have it.

        Args:
            places: Where the versions are.
            counted: Of each version, whether it counts, bool (V,).
        """
        names = list(self.reasons)
        for ids, codes in zip(self.ids, self.codes, strict=True):
            found, rows = np.unique(codes[counted[places.find(ids)]], return_counts=True)
            yield from ((names[code], int(number)) for code, number in zip(found, rows, strict=True))


def of_part(table: pa.Table, *, segmented: bool) -> tuple[Versions, pa.Table]:
    """The versions in a part, and the rows of those whose segments are not all in it, of `_REST`.

    Args:
        table: With `latest.COLUMNS`, `status` and, where it is segmented, `segment_id`, `segment_index` and
            `segment_count`.
        segmented: Whether a row is a segment; else it is a source, and complete.
    """
    ids = ids_of.pack(table["source_id"])
    order = ids_of.order(ids)
    firsts = np.flatnonzero(ids_of.starts(ids[order]))
    one_each = np.ones(len(firsts), np.int32)
    versions = Versions(
        ids[order[firsts]],
        ids_of.pack(table["source_key"])[order[firsts]],
        _of_groups(np.maximum, pc.cast(table["recorded_at"], pa.int64()), order, firsts),
        _of_groups(np.add, pc.equal(table["status"], OK), order, firsts).astype(np.int32),
        _distinct(table, ids) if segmented else one_each,
        _of_groups(np.maximum, table["segment_count"], order, firsts).astype(np.int32) if segmented else one_each,
    )
    if not segmented:
        return versions, _REST.empty_table()
    group = np.empty(len(ids), np.int64)
    group[order] = np.repeat(np.arange(len(firsts)), np.diff(np.append(firsts, len(ids))))
    short = (versions.segments < versions.expected)[group]
    rest = table.filter(pc.and_(pa.array(short), pc.greater_equal(table["segment_index"], 0)))
    return versions, rest.select([*_REST.names[:3], "segment_count"]).rename_columns(_REST.names).cast(_REST)


def merge(parts: list[Versions], rests: Sequence[pa.Table]) -> tuple[Versions, pa.Table]:
    """The versions of all parts, each once, and the rows of those that have not all of their segments.

    Args:
        parts: Taken over: they are gone when the columns of all of them stand in one.
        rests: As `of_part` gives them.
    """
    columns = [list(column) for column in zip(*map(_columns, parts), strict=True)]
    parts.clear()
    whole_columns = []
    for column in columns:
        whole_columns.append(np.concatenate(column))
        column.clear()
    found = Versions(*whole_columns)
    if not ids_of.all_differ(found.ids):
        order = ids_of.order(found.ids)
        firsts = np.flatnonzero(ids_of.starts(found.ids[order]))
        found = Versions(
            found.ids[order[firsts]],
            found.keys[order[firsts]],
            np.maximum.reduceat(found.recorded[order], firsts),
            np.add.reduceat(found.good[order], firsts, dtype=np.int32),
            np.maximum.reduceat(found.segments[order], firsts),
            np.maximum.reduceat(found.expected[order], firsts),
        )
    rest = pa.concat_tables(rests)
    if not rest.num_rows:
        return found, rest
    ids = ids_of.pack(rest["source_id"])
    whole = _distinct(rest, ids)
    names = ids[ids_of.order(ids)]
    at = ids_of.IdTable(found.ids).find(names[ids_of.starts(names)])
    found.segments[at] = np.maximum(found.segments[at], whole)
    short = found.segments < found.expected
    return found, rest.filter(pa.array(short[ids_of.IdTable(found.ids).find(ids)]))


def _columns(versions: Versions) -> tuple[npt.NDArray[np.generic], ...]:
    return (
        versions.ids,
        versions.keys,
        versions.recorded,
        versions.good,
        versions.segments,
        versions.expected,
    )


def _of_groups(
    operation: np.ufunc, values: pa.ChunkedArray, order: Positions, firsts: Positions
) -> npt.NDArray[np.int64]:
    """Of the values of each group of sorted rows."""
    found: npt.NDArray[np.int64] = values.to_numpy().astype(np.int64)[order]
    return np.asarray(operation.reduceat(found, firsts), np.int64) if len(firsts) else found


def _distinct(table: pa.Table, ids: Ids) -> Counts:
    """How many segments there are of each source, by the order of the ids; rows of whole sources are none."""
    segments = ids_of.pack(table["segment_id"])
    order = np.lexsort((segments[:, 1], segments[:, 0], ids[:, 1], ids[:, 0]))
    firsts = ids_of.starts(ids[order])
    new = (firsts | ids_of.starts(segments[order])) & (table["segment_index"].to_numpy()[order] >= 0)
    return np.add.reduceat(new, np.flatnonzero(firsts), dtype=np.int32) if len(order) else np.empty(0, np.int32)
