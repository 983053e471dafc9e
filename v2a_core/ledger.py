"""What is already done, read from the output itself: there is no side database that could disagree with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from v2a_core import storage


@dataclass
class Ledger:
    """The finished work of an output.

    Attributes:
        rows: All ids that have a row: segment ids of embeddings, source ids of an index.
        complete: Ids of the sources with nothing left to do.
        partial: For each source that is not complete, the segment ids that have a row.
    """

    rows: set[str] = field(default_factory=set)
    complete: set[str] = field(default_factory=set)
    partial: dict[str, list[str]] = field(default_factory=dict)


def part_files(folder: str) -> list[str]:
    """The committed Parquet parts of a folder, in the order in which they were written."""
    return [uri for uri in storage.list_files(folder, ".parquet") if uri.rsplit("/", 1)[-1].startswith("part-")]


def read_columns(folder: str, columns: Sequence[str]) -> pa.Table | None:
    """Some columns of all parts of a folder; None when there are no parts."""
    parts = part_files(folder)
    tables = []
    for uri in parts:
        with storage.open_read(uri) as file:
            tables.append(pq.read_table(file, columns=list(columns)))
    return pa.concat_tables(tables) if tables else None


def embeddings_ledger(folder: str) -> Ledger:
    """The ledger of an embeddings output: a source is complete when all its segments have a row."""
    table = read_columns(folder, ["source_id", "segment_id", "segment_count"])
    if table is None:
        return Ledger()
    # A source that was rejected as a whole has one row and a segment count of 0: it is complete.
    counts = table.group_by("source_id").aggregate([("segment_id", "count_distinct"), ("segment_count", "max")])
    is_complete = pc.greater_equal(counts["segment_id_count_distinct"], counts["segment_count_max"])
    complete = set(counts.filter(is_complete)["source_id"].to_pylist())
    partial: dict[str, list[str]] = {}
    unfinished = counts.filter(pc.invert(is_complete))["source_id"]
    rest = table.filter(pc.is_in(table["source_id"], value_set=unfinished.combine_chunks()))
    for source, segment in zip(rest["source_id"].to_pylist(), rest["segment_id"].to_pylist(), strict=True):
        partial.setdefault(source, []).append(segment)
    return Ledger(set(table["segment_id"].to_pylist()), complete, partial)


def index_ledger(folder: str) -> Ledger:
    """The ledger of an index: a row is written when the media files of its source are complete."""
    table = read_columns(folder, ["source_id"])
    done = set(table["source_id"].to_pylist()) if table is not None else set()
    return Ledger(done, done)
