"""Writing rows to Parquet, each exactly once.

One writer, in the driver, sees every finished row: it drops a row whose id is already written (a recomputed block),
and hands whole files of a good size to threads, which sort, compress and commit them while more rows arrive. What a
killed run had not committed has no row, so the next run makes it.
The name of a part ends with the start of the sha256 of its bytes: `v2a verify` checks a part without a side file.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from v2a_core import storage
from v2a_core.compute.ids import GrowingIds, pack
from v2a_core.compute.threads import ScopedThreads
from v2a_core.config import Settings, setting
from v2a_core.outputs.manifest import FILE_NAME
from v2a_core.tables.rows import stamped

_CHECKSUM_DIGITS = 16
# Some 25 MB of embeddings: a reader that wants one label or split passes over the others. Of larger rows fewer.
_ROW_GROUP, _ROW_GROUP_BYTES = 2048, 32 * 2**20


class PartSettings(Settings):
    """When rows become a file."""

    target_mb: int = setting(256, "size at which a part is written (uncompressed rows)", unit="MB", ge=1, le=4096)
    interval_s: float = setting(60.0, "a part is written this often while rows arrive", unit="s", ge=0)
    interval_share: float = setting(
        0.05, "of the run's time so far, when that is longer: a kill costs this share, long runs get large parts", ge=0
    )
    interval_most_s: float = setting(600.0, "but never less often than this", unit="s", ge=0)
    writers: int = setting(
        0,
        "parts written at once, some 10,000 rows/s each (0: 1, or a quarter of this machine's CPUs up to 4)",
        ge=0,
        le=32,
    )

    @property
    def threads(self) -> int:
        """Parts written at once."""
        return self.writers or max(1, min(4, (os.cpu_count() or 1) // 4))


class PartWriter:
    """Buffers rows and writes them as `part-*.parquet`, atomically; any thread may.

    Attributes:
        written: Rows of each part that was written, by its file name, for the manifest.
        rows_written: Rows of all of them.
        committed_at: When the newest of them appeared, in seconds since the epoch; None: none has.

    Args:
        folder: Folder or URI prefix of the parts.
        schema: Their schema; further columns of added tables are dropped.
        id_column: The column whose values must be unique in the whole output.
        seen: Ids that are written and may come again.
        settings: When to write.
        metadata: Key-value metadata of the files.
        before_commit: Called before a part appears, in any thread; what it raises is raised here instead of writing it.
    """

    def __init__(
        self,
        folder: str,
        schema: pa.Schema,
        *,
        id_column: str,
        seen: Collection[str],
        settings: PartSettings,
        metadata: dict[str, str],
        before_commit: Callable[[], None] | None = None,
    ) -> None:
        self._before_commit = before_commit
        self._folder, self._id_column, self._settings = folder, id_column, settings
        self._seen = GrowingIds(pack(list(seen)))
        self._schema = schema.with_metadata(metadata)
        # Sorted by label and split, so that row-group statistics let a reader skip.
        self._order = [("split", "ascending"), ("label", "ascending"), (id_column, "ascending")]
        self._lock = threading.RLock()
        self._threads = ScopedThreads(settings.threads, "parts")
        self._counting = threading.Lock()
        self._coming: list[tuple[Future[None], list[pa.Table]]] = []
        self._buffer: list[pa.Table] = []
        self._bytes = 0
        self._started = self._last_write = time.monotonic()
        self.written: dict[str, int] = {}
        self.rows_written = 0
        self.committed_at: float | None = None
        self._output = folder.rstrip("/").rpartition("/")[0]
        self._claimed = storage.exists(storage.join(self._output, FILE_NAME))

    def add(self, table: pa.Table) -> pa.Table:
        """Take rows over; returns those that were new."""
        with self._lock:
            rows = stamped(self._new(table), self._schema)
            if rows.num_rows:
                self._keep([rows])
            self.flush_if_due()
            return rows

    def flush_if_due(self) -> None:
        """Hand a part over to be written, when enough rows or enough time have come together."""
        with self._lock:
            self._collect()
            now, settings = time.monotonic(), self._settings
            share_s = min(settings.interval_share * (now - self._started), settings.interval_most_s)
            wait_s = max(settings.interval_s, share_s) if settings.interval_s else 0.0
            if self._bytes >= settings.target_mb * 2**20 or now - self._last_write >= wait_s:
                self._hand_over()

    def flush(self) -> None:
        """Write what is buffered; when it returns, all of it is there.

        Raises:
            StorageStopError: When the output was renamed or removed meanwhile.
        """
        with self._lock:
            self._collect(left=0)
            self._hand_over()
            self._collect(left=0)

    def _keep(self, rows: list[pa.Table]) -> None:
        self._buffer += rows
        self._bytes += sum(table.nbytes for table in rows)

    def _hand_over(self) -> None:
        """Give the buffer to a thread; waits while all of them are at work, so that memory is bounded."""
        self._last_write = time.monotonic()
        if self._claimed:
            storage.check_there(self._output, FILE_NAME)
        if not self._buffer:
            return
        self._collect(left=self._settings.threads - 1)
        rows, self._buffer, self._bytes = self._buffer, [], 0
        self._coming.append((self._threads.submit(self._commit, rows), rows))

    def _collect(self, left: int | None = None) -> None:
        """Forget the parts that are there.

        Args:
            left: Wait until no more than so many are being written; None: do not wait.

        Raises:
            Exception: What kept one from being written; its rows are in the buffer again.
        """
        while self._coming:
            writing, rows = self._coming[0]
            if not writing.done() and (left is None or len(self._coming) <= left):
                return
            error = writing.exception()
            self._coming.pop(0)
            if error is not None:
                self._keep(rows)
                raise error

    def _commit(self, rows: list[pa.Table]) -> None:
        """Write a part, in a thread of its own."""
        if self._before_commit is not None:
            self._before_commit()
        table = pa.concat_tables(rows)
        name = write_part(self._folder, table, time.time_ns(), self._order)
        with self._counting:
            self.written[name] = table.num_rows
            self.rows_written += table.num_rows
            self.committed_at = time.time()

    def _new(self, table: pa.Table) -> pa.Table:
        """The rows whose ids were not seen before; they are now."""
        new = self._seen.add(pack(table[self._id_column]))
        return table if new.all() else table.filter(pa.array(new))


def write_part(folder: str, table: pa.Table, stamp: int, order: Sequence[tuple[str, str]] = ()) -> str:
    """Write rows as a part, atomically.

    Args:
        folder: Folder or URI prefix.
        table: With the metadata of the file in its schema.
        stamp: Nanoseconds; the order of the parts.
        order: Columns, and directions, by which the rows are sorted; none: as they are.

    Returns:
        The file's name.
    """
    with tempfile.TemporaryDirectory(prefix="v2a-") as temporary:
        path = Path(temporary) / "part.parquet"
        # One piece: rows are taken from all over the table, group by group, so that no second one is in memory.
        table, rows = table.combine_chunks(), _rows_of_group(table)
        sorting = pc.sort_indices(table, list(order)) if order else None
        with pq.ParquetWriter(path, table.schema, **_how(table.schema)) as file:
            for start in range(0, table.num_rows, rows):
                group = table.slice(start, rows) if sorting is None else table.take(sorting.slice(start, rows))
                file.write_table(group, row_group_size=rows)
        name = f"part-{stamp:019d}-{checksum(path)}.parquet"
        storage.upload(path, storage.join(folder, name))
    return name


def _how(schema: pa.Schema) -> dict[str, Any]:
    """How a part is encoded."""
    return {
        "compression": "zstd",
        # Embeddings repeat no number: a dictionary of them would take twice the time, and more room.
        "use_dictionary": [field.name for field in schema if pa.types.is_string(field.type)],
        # The largest of all numbers of an embedding helps nobody to skip: to find it takes a third of the time.
        "write_statistics": [field.name for field in schema if not pa.types.is_nested(field.type)],
        # With checksums of pages, a reader of some columns notices damage to them too.
        "write_page_checksum": True,
    }


def _rows_of_group(table: pa.Table) -> int:
    bytes_of_row = max(1, int(table.nbytes) // max(1, int(table.num_rows)))
    return max(1, min(_ROW_GROUP, _ROW_GROUP_BYTES // bytes_of_row))


def checksum(path: Path) -> str:
    """The start of the sha256 of a file, as it stands in the name of a part."""
    return bytes_checksum(path.read_bytes())


def bytes_checksum(content: bytes) -> str:
    """The same of bytes."""
    return hashlib.sha256(content).hexdigest()[:_CHECKSUM_DIGITS]


def checksum_in_name(uri: str) -> str | None:
    """The checksum that the name of a part holds; None for a part of a version that did not write it."""
    mark = uri.rsplit("/", 1)[-1].removesuffix(".parquet").rpartition("-")[2]
    return mark if len(mark) == _CHECKSUM_DIGITS else None
