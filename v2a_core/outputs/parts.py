"""Writing rows to Parquet, each exactly once.

One writer, in the driver, sees every finished row: it drops a row whose id is already written (a recomputed block),
and commits whole files of a good size. What a killed run had not committed has no row, so the next run makes it.
The name of a part ends with the start of the sha256 of its bytes: `v2a verify` checks a part without a side file.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from v2a_core import storage
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
        seen: Ids that are written and may come again; the set is taken over and grows.
        settings: When to write.
        metadata: Key-value metadata of the files.
        before_commit: Called before a part appears; what it raises is raised instead of writing it.
    """

    def __init__(
        self,
        folder: str,
        schema: pa.Schema,
        *,
        id_column: str,
        seen: set[str],
        settings: PartSettings,
        metadata: dict[str, str],
        before_commit: Callable[[], None] | None = None,
    ) -> None:
        self._before_commit = before_commit
        self._folder, self._id_column, self._seen, self._settings = folder, id_column, seen, settings
        self._schema = schema.with_metadata(metadata)
        # Sorted by label and split, so that row-group statistics let a reader skip.
        self._order = [("split", "ascending"), ("label", "ascending"), (id_column, "ascending")]
        self._lock = threading.RLock()
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
                self._buffer.append(rows)
                self._bytes += rows.nbytes
            self.flush_if_due()
            return rows

    def flush_if_due(self) -> None:
        """Write a part when enough rows or enough time have come together."""
        with self._lock:
            now, settings = time.monotonic(), self._settings
            share_s = min(settings.interval_share * (now - self._started), settings.interval_most_s)
            wait_s = max(settings.interval_s, share_s) if settings.interval_s else 0.0
            if self._bytes >= settings.target_mb * 2**20 or now - self._last_write >= wait_s:
                self.flush()

    def flush(self) -> None:
        """Write what is buffered.

        Raises:
            StorageStopError: When the output was renamed or removed meanwhile.
        """
        with self._lock:
            self._last_write = time.monotonic()
            if self._claimed:
                storage.check_there(self._output, FILE_NAME)
            if not self._buffer:
                return
            if self._before_commit is not None:
                self._before_commit()
            table = pa.concat_tables(self._buffer)
            name = write_part(self._folder, table.take(pc.sort_indices(table, self._order)), time.time_ns())
            self._buffer, self._bytes = [], 0
            self.written[name] = table.num_rows
            self.rows_written += table.num_rows
            self.committed_at = time.time()

    def _new(self, table: pa.Table) -> pa.Table:
        """The rows whose ids were not seen before; they are now."""
        ids = table[self._id_column].to_pylist()
        fresh = []
        for row, identity in enumerate(ids):
            if identity not in self._seen:
                self._seen.add(identity)
                fresh.append(row)
        return table if len(fresh) == len(ids) else table.take(pa.array(fresh, pa.int64()))


def write_part(folder: str, table: pa.Table, stamp: int) -> str:
    """Write rows as a part, atomically.

    Args:
        folder: Folder or URI prefix.
        table: With the metadata of the file in its schema.
        stamp: Nanoseconds; the order of the parts.

    Returns:
        The file's name.
    """
    with tempfile.TemporaryDirectory(prefix="v2a-") as temporary:
        path = Path(temporary) / "part.parquet"
        pq.write_table(
            table,
            path,
            compression="zstd",
            row_group_size=_rows_of_group(table),
            # Embeddings repeat no number: a dictionary of them would take twice the time, and more room.
            use_dictionary=[field.name for field in table.schema if pa.types.is_string(field.type)],
            # With checksums of pages, a reader of some columns notices damage to them too.
            write_page_checksum=True,
        )
        name = f"part-{stamp:019d}-{checksum(path)}.parquet"
        storage.upload(path, storage.join(folder, name))
    return name


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
