"""What is already done, read from the output itself: there is no side database that could disagree with it.

Ids stay in Arrow columns: a million finished sources cost some 150 MB, and are compared all at once.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from v2a_core import storage
from v2a_core.outputs import manifest
from v2a_core.tables.latest import COLUMNS, latest
from v2a_core.tables.partial import Partial
from v2a_core.tables.schema import OK, REJECTED

_REASONS = ("status", "reject_stage", "reject_type")
_GOOD = pa.schema([("source_id", pa.string()), ("source_key", pa.string()), ("good", pa.int64())])
_REJECTED = pa.schema([("source_id", pa.string()), ("source_key", pa.string()), ("reason", pa.string())])


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


@dataclass
class Ledger:
    """The finished work of an output.

    Attributes:
        complete: Ids of the sources with nothing left to do.
        partial: What there is of each source that is not complete.
        parts: Rows of each file that holds them, by its name.
        good: Of the newest version of each source, how many good rows it has.
        rejected: Rejected rows of these, with their reasons.
    """

    complete: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    partial: dict[str, Partial] = field(default_factory=dict)
    parts: dict[str, int] = field(default_factory=dict)
    good: pa.Table = field(default_factory=_GOOD.empty_table)
    rejected: pa.Table = field(default_factory=_REJECTED.empty_table)

    @property
    def rows(self) -> int:
        """Rows of the output."""
        return sum(self.parts.values())

    def unfinished(self, source_ids: Sequence[str]) -> list[int]:
        """Positions of the sources that are not complete."""
        done = pc.is_in(pa.array(source_ids, pa.string()), value_set=self.complete)
        return [int(position) for position in np.flatnonzero(~done.to_numpy(zero_copy_only=False))]

    def expected_again(self) -> set[str]:
        """Ids of rows that a run may make a second time: those of sources that it takes up again."""
        return {segment for partial in self.partial.values() for segment in partial.segments}

    def good_among(self, source_ids: Sequence[str]) -> int:
        """How many of some sources have a good row."""
        found = self.good.filter(pc.greater(self.good["good"], 0))["source_id"]
        return int(pc.sum(pc.is_in(found, value_set=pa.array(source_ids, pa.string()))).as_py() or 0)

    def totals(self, replaced: Collection[str] = ()) -> Totals:
        """What the output held before this run.

        Args:
            replaced: Keys of the sources of which a newer version has come since: theirs no longer counts.
        """
        gone = pa.array(list(replaced), pa.string())
        good, rejected = (
            table.filter(pc.invert(pc.is_in(table["source_key"], value_set=gone))) if len(gone) else table
            for table in (self.good, self.rejected)
        )
        return Totals(good.num_rows, int(pc.sum(good["good"]).as_py() or 0), Counter(rejected["reason"].to_pylist()))

    def other_versions(self, ids_by_key: dict[str, str]) -> set[str]:
        """Keys of the sources that the output has in another version only than that of `ids_by_key`."""
        if not ids_by_key:
            return set()
        known = self.good.filter(pc.is_in(self.good["source_key"], value_set=pa.array(list(ids_by_key), pa.string())))
        rows = zip(known["source_key"].to_pylist(), known["source_id"].to_pylist(), strict=True)
        return {key for key, identity in rows if ids_by_key[key] != identity}


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
    identity = manifest.recorded_identity(folder.rpartition("/")[0])
    tables = {}
    for uri in part_files(folder):
        tables[uri] = read_part(uri, columns)
        check_identity(uri, tables[uri].schema, identity)
    return tables


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
    """The ledger of an output with a row a segment: a source is complete when all its segments have one."""
    parts = _read_parts(folder, ["segment_id", "segment_index", "segment_count"])
    if not parts:
        return Ledger()
    table = pa.concat_tables(parts.values())
    # A source that was rejected as a whole has one row, which is no segment, and a segment count of 0.
    is_segment = pc.greater_equal(table["segment_index"], 0)
    counted = table.append_column("segment", pc.if_else(is_segment, table["segment_id"], pa.scalar(None, pa.string())))
    counts = counted.group_by("source_id").aggregate([("segment", "count_distinct"), ("segment_count", "max")])
    is_complete = pc.greater_equal(counts["segment_count_distinct"], counts["segment_count_max"])
    complete = counts.filter(is_complete)["source_id"].combine_chunks()
    unfinished = counts.filter(pc.invert(is_complete))["source_id"].combine_chunks()
    rest = table.filter(pc.and_(is_segment, pc.is_in(table["source_id"], value_set=unfinished)))
    return _ledger(table, complete, _partial(rest), parts)


def index_ledger(folder: str) -> Ledger:
    """The ledger of an index: a row is written when the media files of its source are complete."""
    parts = _read_parts(folder, [])
    if not parts:
        return Ledger()
    table = pa.concat_tables(parts.values())
    return _ledger(table, pc.unique(table["source_id"]), {}, parts)


def _read_parts(folder: str, more: Sequence[str]) -> dict[str, pa.Table]:
    """What a ledger needs of each part, by its name."""
    tables = read_parts(folder, [*COLUMNS, *_REASONS, *more])
    return {uri.rsplit("/", 1)[-1]: table for uri, table in tables.items()}


def _partial(segments: pa.Table) -> dict[str, Partial]:
    partial: dict[str, Partial] = {}
    names = ["source_id", "segment_id", "segment_index", "segment_count"]
    for row in segments.select(names).to_pylist():
        known = partial.get(row["source_id"], Partial(count=row["segment_count"]))
        known.segments.append(row["segment_id"])
        known.indices.append(row["segment_index"])
        partial[row["source_id"]] = known
    return partial


def _ledger(table: pa.Table, complete: pa.Array, partial: dict[str, Partial], parts: Mapping[str, pa.Table]) -> Ledger:
    newest = latest(table)
    is_good = pc.cast(pc.equal(newest["status"], OK), pa.int64())
    good = newest.append_column("good", is_good).group_by(["source_id", "source_key"]).aggregate([("good", "sum")])
    rejected = newest.filter(pc.equal(newest["status"], REJECTED))
    reason = pc.binary_join_element_wise(rejected["reject_stage"], rejected["reject_type"], ": ")
    return Ledger(
        complete,
        partial,
        {name: part.num_rows for name, part in parts.items()},
        good.rename_columns(["source_id", "source_key", "good"]),
        rejected.select(["source_id", "source_key"]).append_column("reason", reason),
    )
