"""What a run has to do, as Ray gets it: sources that are not done, in blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np
import pyarrow as pa
import ray
from ray.data import Dataset

from v2a_core.catalog import Source, Sources
from v2a_core.catalog import sources as columns_of
from v2a_core.compute import ids as ids_of
from v2a_core.compute.ids import Flags, Ids, Positions
from v2a_core.outputs.ledger import Ledger
from v2a_core.tables.partial import Partial
from workflows.streaming.blocks import Blocks

_PIECE = 2**12  # sources that are objects at once
# What earlier runs have of a source.
_DONE = (
    pa.field("done_segments", pa.list_(pa.string())),
    pa.field("done_indices", pa.list_(pa.int32())),
    pa.field("segment_count", pa.int32()),
)
# A block is packed: those of all sources wait in Ray's memory until it is their turn.
_BLOCK = pa.schema([("packed", pa.binary())])
_NOTHING = Partial()


@dataclass(frozen=True, slots=True)
class PlannedSource:
    """A source with something left to do, and what there is of it."""

    source: Source
    source_id: str
    done: Partial = field(default_factory=Partial)


class Planned(Sequence[PlannedSource]):
    """Sources with something left to do, in columns.

    Args:
        sources: What was listed.
        positions: Of them, rising.
        ids: The `source_id` of these (P, 2).
        partial: What there is of sources of which there is something.
    """

    def __init__(
        self, sources: Sources, positions: Positions, ids: Ids, partial: dict[str, Partial] | None = None
    ) -> None:
        self.ids = ids
        self._sources, self._positions, self._partial = sources, positions, partial or {}

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, index: int) -> PlannedSource: ...
    @overload
    def __getitem__(self, index: slice) -> Planned: ...
    def __getitem__(self, index: int | slice) -> PlannedSource | Planned:
        if isinstance(index, slice):
            return Planned(self._sources, self._positions[index], self.ids[index], self._partial)
        (item,) = self._read(np.array([index]))
        return item

    def __iter__(self) -> Iterator[PlannedSource]:
        for start in range(0, len(self), _PIECE):
            yield from self._read(np.arange(start, min(start + _PIECE, len(self))))

    def where(self, chosen: Flags) -> Planned:
        """Those that are chosen."""
        return Planned(self._sources, self._positions[chosen], self.ids[chosen], self._partial)

    def keys(self) -> Ids:
        """The `source_key` of each (P, 2)."""
        return self._sources.keys[self._positions]

    def blocks(self, limits: Blocks) -> Iterator[pa.Table]:
        """What Ray gets: a row a block; members of a compressed shard stay together."""
        sizes, streams = self._sources.sizes()[self._positions], self._sources.streams()[self._positions]
        for start, end in limits.cut(sizes, streams):
            yield pa.table({"packed": [self.packed(np.arange(start, end))]}, schema=_BLOCK)

    def packed(self, rows: Positions) -> bytes:
        """Some of them, by rising rows, for `unpack`."""
        sink, table = pa.BufferOutputStream(), self._table(rows)
        with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as stream:
            stream.write_table(table)
        content: bytes = sink.getvalue().to_pybytes()
        return content

    def _table(self, rows: Positions) -> pa.Table:
        """Some of them, by rising rows, as columns: those of `sources.read`, the id and what is done."""
        table = self._sources.table(self._positions[rows])
        ids = ids_of.unpack(self.ids[rows])
        table = table.append_column("source_id", pa.array(ids, pa.string()))
        if self._partial:
            done = [self._partial.get(identity, _NOTHING) for identity in ids]
            for column, name in zip(_DONE, ("segments", "indices", "count"), strict=True):
                table = table.append_column(column, pa.array([getattr(item, name) for item in done], column.type))
        return table

    def _read(self, rows: Positions) -> Iterator[PlannedSource]:
        return _read_planned(self._table(rows))


class Names(Sequence[str]):
    """Names of what is planned, made when they are asked for."""

    def __init__(self, planned: Planned) -> None:
        self._planned = planned

    def __len__(self) -> int:
        return len(self._planned)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [item.source.name for item in self._planned[index]]
        return self._planned[index].source.name


def plan(sources: Sources, ids: Ids, ledger: Ledger) -> Planned:
    """The sources that the ledger does not hold completely, with the segments it has of them.

    Args:
        sources: What was listed.
        ids: The id of each.
        ledger: What is done.
    """
    left = ledger.unfinished(ids)
    return Planned(sources, left, ids if len(left) == len(ids) else ids[left], ledger.partial)


def dataset(planned: Planned, limits: Blocks) -> Dataset:
    """The plan as a Ray dataset.

    Args:
        planned: The sources.
        limits: How large a block is.
    """
    return from_tables(planned.blocks(limits))


def from_tables(tables: Iterable[pa.Table]) -> Dataset:
    """A Ray dataset with a block a table."""
    # Not `from_arrow`, which starts a task for each block to learn its schema.
    data: Dataset = ray.data.from_blocks(list(tables))
    return data


def read_blocks(batch: pa.Table) -> Iterator[PlannedSource]:
    """The inverse of `Planned.blocks`, in a worker."""
    for packed in batch["packed"].to_pylist():
        yield from unpack(packed)


def unpack(packed: bytes) -> Iterator[PlannedSource]:
    """The inverse of `Planned.packed`."""
    with pa.ipc.open_stream(packed) as stream:
        return _read_planned(stream.read_all())


def _read_planned(table: pa.Table) -> Iterator[PlannedSource]:
    ids = table["source_id"].to_pylist()
    done = [_NOTHING] * len(ids)
    if _DONE[0].name in table.column_names:
        done = [Partial(*item) for item in zip(*(table[column.name].to_pylist() for column in _DONE), strict=True)]
    return map(PlannedSource, columns_of.read(table), ids, done)
