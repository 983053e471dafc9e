"""Writing rows to Parquet, each exactly once.

One writer, in the driver, sees every finished row: it drops a row whose id is already written (a recomputed block),
and commits whole files of a good size. What a killed run had not committed has no row, so the next run makes it.
"""

from __future__ import annotations

import time
import uuid

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from v2a_core import storage
from v2a_core.config import Settings, setting


class PartSettings(Settings):
    """When rows become a file."""

    target_mb: int = setting(128, "size at which a part is written (uncompressed rows)", unit="MB", ge=1, le=4096)
    interval_s: float = setting(60.0, "a part is written at least this often while rows arrive", unit="s", ge=0)


class PartWriter:
    """Buffers rows and writes them as `part-*.parquet`, atomically.

    Args:
        folder: Folder or URI prefix of the parts.
        schema: Their schema; further columns of added tables are dropped.
        id_column: The column whose values must be unique in the whole output.
        seen: Ids that are already written; the set is taken over and grows.
        settings: When to write.
        metadata: Key-value metadata of the files.
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
    ) -> None:
        self._folder, self._id_column, self._seen, self._settings = folder, id_column, seen, settings
        self._schema = schema.with_metadata(metadata)
        self._buffer: list[pa.Table] = []
        self._bytes = 0
        self._last_write = time.monotonic()
        self.parts = 0

    def add(self, table: pa.Table) -> pa.Table:
        """Take rows over; returns those that were new."""
        ids = table[self._id_column].to_pylist()
        fresh = []
        for row, identity in enumerate(ids):
            if identity not in self._seen:
                self._seen.add(identity)
                fresh.append(row)
        rows = table if len(fresh) == len(ids) else table.take(pa.array(fresh, pa.int64()))
        rows = rows.select(self._schema.names).cast(self._schema)
        if rows.num_rows:
            self._buffer.append(rows)
            self._bytes += rows.nbytes
        self.flush_if_due()
        return rows

    def flush_if_due(self) -> None:
        """Write a part when enough rows or enough time have come together."""
        due = time.monotonic() - self._last_write >= self._settings.interval_s
        if self._bytes >= self._settings.target_mb * 2**20 or due:
            self.flush()

    def flush(self) -> None:
        """Write what is buffered."""
        self._last_write = time.monotonic()
        if not self._buffer:
            return
        table = pa.concat_tables(self._buffer)
        # Sorted by label and split, so that row-group statistics let a reader skip.
        order = pc.sort_indices(table, [("split", "ascending"), ("label", "ascending"), (self._id_column, "ascending")])
        name = f"part-{time.time_ns():019d}-{uuid.uuid4().hex[:8]}.parquet"
        with storage.writing(storage.join(self._folder, name)) as path:
            pq.write_table(table.take(order), path, compression="zstd", row_group_size=8192)
        self._buffer, self._bytes = [], 0
        self.parts += 1
