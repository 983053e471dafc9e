"""What is already done, read from the output itself: there is no side database that could disagree with it.

Ids stay in Arrow columns: a million finished sources cost some 50 MB, and are compared all at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from v2a_core import storage


@dataclass
class Ledger:
    """The finished work of an output.

    Attributes:
        complete: Ids of the sources with nothing left to do.
        partial: For each source that is not complete, the ids of its segments that have a row.
        parts: Rows of each file that holds them, by its name.
    """

    complete: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    partial: dict[str, list[str]] = field(default_factory=dict)
    parts: dict[str, int] = field(default_factory=dict)

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
        return {segment for segments in self.partial.values() for segment in segments}


def part_files(folder: str) -> list[str]:
    """The committed Parquet parts of a folder, in the order in which they were written."""
    return [uri for uri in storage.list_files(folder, ".parquet") if uri.rsplit("/", 1)[-1].startswith("part-")]


def read_columns(folder: str, columns: Sequence[str]) -> pa.Table | None:
    """Some columns of all parts of a folder; None when there are no parts."""
    tables = [read_part(uri, columns) for uri in part_files(folder)]
    return pa.concat_tables(tables) if tables else None


def read_part(uri: str, columns: Sequence[str]) -> pa.Table:
    """Some columns of a part; of a remote one only they are fetched."""
    with storage.open_read(uri) as file:
        return pq.read_table(file, columns=list(columns))


def embeddings_ledger(folder: str) -> Ledger:
    """The ledger of an embeddings output: a source is complete when all its segments have a row."""
    parts = part_files(folder)
    if not parts:
        return Ledger()
    tables = [read_part(uri, ["source_id", "segment_id", "segment_count"]) for uri in parts]
    table = pa.concat_tables(tables)
    # A source that was rejected as a whole has one row and a segment count of 0: it is complete.
    counts = table.group_by("source_id").aggregate([("segment_id", "count_distinct"), ("segment_count", "max")])
    is_complete = pc.greater_equal(counts["segment_id_count_distinct"], counts["segment_count_max"])
    complete = counts.filter(is_complete)["source_id"].combine_chunks()
    partial: dict[str, list[str]] = {}
    unfinished = counts.filter(pc.invert(is_complete))["source_id"].combine_chunks()
    rest = table.filter(pc.is_in(table["source_id"], value_set=unfinished))
    for source, segment in zip(rest["source_id"].to_pylist(), rest["segment_id"].to_pylist(), strict=True):
        partial.setdefault(source, []).append(segment)
    return Ledger(complete, partial, _rows_by_name(parts, tables))


def index_ledger(folder: str) -> Ledger:
    """The ledger of an index: a row is written when the media files of its source are complete."""
    parts = part_files(folder)
    if not parts:
        return Ledger()
    tables = [read_part(uri, ["source_id"]) for uri in parts]
    sources = pc.unique(pa.concat_tables(tables)["source_id"])
    return Ledger(sources, {}, _rows_by_name(parts, tables))


def _rows_by_name(parts: Sequence[str], tables: Sequence[pa.Table]) -> dict[str, int]:
    return {uri.rsplit("/", 1)[-1]: table.num_rows for uri, table in zip(parts, tables, strict=True)}
