"""Rows of embeddings with their columns out of a sidecar, joined by the ids of segments.

Both sides may be larger than memory and lie in any order. First only ids are read: of each row of the embeddings is
kept the number of its row in the sidecar, 8 bytes a row; ids are compared as sorted numbers, 16 bytes each. Then
whoever reads some rows of the embeddings takes theirs from the row groups of the sidecar that hold them. Both are
written in the order of the catalog, as workers end, and sorted alike inside of a part: the rows of one part lie in a
few parts of the other, and each of these is read a few times. In another order the rows are the same, and parts are
read more often: `Met.readings` says how often.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from v2a_core import storage
from v2a_core.compute import ids as ids_of
from v2a_core.compute.ids import Flags, IdTable
from v2a_core.config import ConfigError
from v2a_core.outputs.ledger import each_part, reading
from v2a_core.outputs.sidecar import Sidecar
from v2a_core.storage.public import public
from v2a_core.tables.schema import OK, ROWS_FOLDER, vision_dim_of

NOWHERE = -1
_HELD_BYTES = 256 * 2**20  # row groups that a reader keeps, in case the next rows are in them, too
_HELD_FILES = 64  # parts that it keeps open

Numbers: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Beside:
    """The rows of a sidecar, by their numbers.

    Attributes:
        uris: Its parts.
        starts: The number of the first row of each, and at the end how many there are, int64 (parts + 1,).
        columns: What it adds.
        space: Its vision space.
    """

    uris: list[str]
    starts: Numbers
    columns: tuple[str, ...]
    space: str

    def part_of(self, numbers: Numbers) -> Numbers:
        """The part of each row, int64 (n,)."""
        return (np.searchsorted(self.starts, numbers, side="right") - 1).astype(np.int64)

    def fingerprint(self) -> str:
        """Tells two states of a sidecar apart: its parts and their rows."""
        names = [uri.rsplit("/", 1)[-1] for uri in self.uris]
        return "\n".join(f"{name} {rows}" for name, rows in zip(names, np.diff(self.starts).tolist(), strict=True))


@dataclass(frozen=True)
class Found:
    """Where the rows of embeddings have theirs in a sidecar.

    Attributes:
        beside: The sidecar.
        ids: The rows of the sidecar by their ids.
        good: Which of them are good, bool (rows of the sidecar,).
    """

    beside: Beside
    ids: IdTable
    good: Flags

    def numbers(self, segment_ids: pa.ChunkedArray) -> Numbers:
        """The number of the row of each segment, `NOWHERE` without one, int64 (n,)."""
        return self.ids.find(ids_of.pack(segment_ids))


def read_ids(sidecar: Sidecar) -> Found:
    """Read the ids of a sidecar, and nothing else.

    Raises:
        UnreadablePartError: When a part is damaged, or belongs to another output; names it and what to do.
    """
    uris, ids, good = [], [ids_of.none()], [np.empty(0, bool)]
    for uri, table in each_part(storage.join(sidecar.uri, ROWS_FOLDER), ["segment_id", "status"]):
        uris.append(uri)
        ids.append(ids_of.pack(table["segment_id"]))
        good.append(pc.equal(table["status"], OK).to_numpy())
    starts = np.cumsum([0, *(len(piece) for piece in ids[1:])]).astype(np.int64)
    beside = Beside(uris, starts, sidecar.columns, sidecar.space)
    return Found(beside, IdTable(np.concatenate(ids)), np.concatenate(good))


@dataclass(frozen=True)
class Met:
    """How embeddings and a sidecar meet.

    Attributes:
        beside: The sidecar.
        numbers_N: Of each row of the embeddings the number of its row there, `NOWHERE` without one, int64.
        rejected_N: Whether it has one, and that is a reject, bool.
        alone: Rows of the sidecar without one of the embeddings.
        readings: How often a part of the sidecar is read when each part of the embeddings is once.
    """

    beside: Beside
    numbers_N: Numbers
    rejected_N: Flags
    alone: int
    readings: float


def meet(embeddings: str, parts: Sequence[str], sidecar: Sidecar) -> Met:
    """Find the row of each row of embeddings in a sidecar, by their ids alone.

    Args:
        embeddings: Folder or URI.
        parts: Its parts, as they were listed before.
        sidecar: What lies beside it.

    Raises:
        ConfigError: When no row has one, or parts have come or gone since they were listed.
        UnreadablePartError: When a part of either is damaged, or belongs to another output.
    """
    found, numbers, seen, meetings = read_ids(sidecar), [np.empty(0, np.int64)], [], 0
    for uri, table in each_part(storage.join(embeddings, ROWS_FOLDER), ["segment_id"]):
        seen.append(uri)
        numbers.append(found.numbers(table["segment_id"]))
        meetings += len(np.unique(found.beside.part_of(numbers[-1][numbers[-1] != NOWHERE])))
    if seen != list(parts):
        raise ConfigError(f"{public(embeddings)} changed while it was read: run again when its job has ended")
    numbers_N = np.concatenate(numbers)
    there_N = numbers_N != NOWHERE
    if not there_N.any():
        raise ConfigError(
            f"no segment of {public(embeddings)} ({len(numbers_N)} rows) has a row in {public(sidecar.uri)} "
            f"({len(found.good)} rows): it was made from another catalog, or nothing of it is there yet"
        )
    rejected_N = np.zeros(len(numbers_N), bool)
    rejected_N[there_N] = ~found.good[numbers_N[there_N]]
    alone = len(found.good) - len(np.unique(numbers_N[there_N]))
    return Met(found.beside, numbers_N, rejected_N, alone, meetings / len(found.beside.uris))


@dataclass(frozen=True)
class _Open:
    """A part that is being read.

    Attributes:
        scope: Closes it.
        parquet: The part.
        starts: The row in it where each row group begins, and its rows, int64 (groups + 1,).
    """

    scope: contextlib.ExitStack
    parquet: pq.ParquetFile
    starts: Numbers


class BesideReader:
    """Takes rows out of a sidecar, by their numbers; near ones one after the other cost least.

    Args:
        beside: The sidecar.
        columns: What is read of it.
    """

    def __init__(self, beside: Beside, columns: Sequence[str]) -> None:
        self._beside, self._columns = beside, list(columns)
        self._files: OrderedDict[int, _Open] = OrderedDict()
        self._groups: OrderedDict[tuple[int, int], pa.Table] = OrderedDict()
        self._held = 0
        self.groups_read = 0

    def __enter__(self) -> BesideReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._files:
            self._files.popitem()[1].scope.close()

    def take(self, numbers: Numbers) -> pa.Table:
        """The rows of these numbers, in their order.

        Raises:
            ConfigError: When a part is not what it was, or of another space.
            UnreadablePartError: When a part is damaged; names it and what to do.
        """
        parts = self._beside.part_of(numbers)
        tables, places = [self._nothing(numbers)], [np.empty(0, np.int64)]
        for part in np.unique(parts).tolist():
            at = np.flatnonzero(parts == part)
            rows = numbers[at] - self._beside.starts[part]
            starts = self._file(part).starts
            groups = np.searchsorted(starts, rows, side="right") - 1
            for group in np.unique(groups).tolist():
                inside = groups == group
                tables.append(self._group(part, group).take(pa.array(rows[inside] - starts[group])))
                places.append(at[inside])
        order = np.argsort(np.concatenate(places), kind="stable")
        return pa.concat_tables([table for table in tables if table is not None]).take(pa.array(order))

    def _nothing(self, numbers: Numbers) -> pa.Table | None:
        """What says how the columns look when no rows are asked for."""
        return None if len(numbers) else self._file(0).parquet.schema_arrow.empty_table().select(self._columns)

    def _file(self, part: int) -> _Open:
        if part not in self._files:
            self._files[part] = self._opened(part)
            if len(self._files) > _HELD_FILES:
                self._files.popitem(last=False)[1].scope.close()
        self._files.move_to_end(part)
        return self._files[part]

    def _opened(self, part: int) -> _Open:
        uri, starts = self._beside.uris[part], self._beside.starts
        with contextlib.ExitStack() as scope:
            file = scope.enter_context(storage.open_read(uri))
            with reading(uri):
                parquet = pq.ParquetFile(file, page_checksum_verification=True)
            self._check(uri, parquet, int(starts[part + 1] - starts[part]))
            rows = [parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)]
            return _Open(scope.pop_all(), parquet, np.cumsum([0, *rows]).astype(np.int64))

    def _check(self, uri: str, parquet: pq.ParquetFile, rows: int) -> None:
        if parquet.metadata.num_rows != rows:
            raise ConfigError(f"{uri} changed while it was read: {rows} rows, now {parquet.metadata.num_rows}")
        space = (parquet.schema_arrow.metadata or {}).get(b"v2a.vision_space", b"").decode()
        if space != self._beside.space:
            raise ConfigError(
                f"mixed spaces: {uri} holds vision embeddings of {space or 'an unnamed space'}, the manifest says "
                f"{self._beside.space}"
            )
        lacking = [name for name in self._columns if name not in parquet.schema_arrow.names]
        if lacking:
            raise ConfigError(f"{uri} lacks the columns {', '.join(lacking)}: `v2a verify` says what is damaged")

    def _group(self, part: int, group: int) -> pa.Table:
        if (part, group) in self._groups:
            self._groups.move_to_end((part, group))
            return self._groups[part, group]
        with reading(self._beside.uris[part]):
            table = self._file(part).parquet.read_row_group(group, columns=self._columns, use_threads=False)
        self.groups_read += 1
        self._groups[part, group] = table
        self._held += table.nbytes
        while self._held > _HELD_BYTES and len(self._groups) > 1:
            self._held -= self._groups.popitem(last=False)[1].nbytes
        return table


@contextlib.contextmanager
def columns_beside(
    beside: Beside | None, columns: Sequence[str], *, also: Sequence[str] = ()
) -> Iterator[tuple[list[str], BesideReader | None]]:
    """Which of some columns are the embeddings' own, and what reads the others; closed at the end.

    Args:
        beside: The sidecar; None: all columns are the embeddings' own.
        columns: What is wanted.
        also: What is read of the sidecar with those, and stands in both.
    """
    theirs = [name for name in columns if beside is not None and name in beside.columns]
    own = [name for name in columns if name not in theirs]
    if beside is None or not theirs:
        yield own, None
        return
    with BesideReader(beside, [*theirs, *also]) as reader:
        yield own, reader


def with_columns(table: pa.Table, beside: pa.Table) -> pa.Table:
    """A table with the columns of another one of as many rows."""
    for field in beside.schema:
        table = table.append_column(field, beside[field.name])
    return table


def width_and_numbers(beside: Beside) -> tuple[int, int]:
    """The width of the frame embeddings of a sidecar, and how many numbers they are in all; reads the parts' ends."""
    width, numbers = 0, 0
    for uri in beside.uris:
        with storage.open_read(uri) as file, reading(uri):
            parquet = pq.ParquetFile(file)
            width = width or vision_dim_of(parquet.schema_arrow)
            numbers += frame_numbers(parquet.metadata)
    return width, numbers


def frame_numbers(metadata: pq.FileMetaData) -> int:
    """How many numbers all frame embeddings of a part are."""
    groups = (metadata.row_group(index) for index in range(metadata.num_row_groups))
    columns = (group.column(index) for group in groups for index in range(group.num_columns))
    return sum(column.num_values for column in columns if column.path_in_schema.startswith("vision_frames."))
