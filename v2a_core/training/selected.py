"""The rows of a selection as tables, a few at a time, with the columns that lie beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.outputs.joining import columns_beside, with_columns
from v2a_core.training.selection import LEFT_OUT, Selection

Rows = npt.NDArray[np.int64]


def selected(selection: Selection, names: Sequence[str], rows_at_once: int) -> Iterator[tuple[pa.Table, Rows]]:
    """Some columns of the rows that are not left out, and their numbers in the selection; see `selected_of`."""
    for part in range(len(selection.parts)):
        yield from selected_of(selection, part, names, rows_at_once)


def selected_of(
    selection: Selection,
    part: int,
    names: Sequence[str],
    rows_at_once: int,
    check: Callable[[str, pa.Schema], None] | None = None,
) -> Iterator[tuple[pa.Table, Rows]]:
    """The same of one part.

    Args:
        selection: Which rows.
        part: Number of the part.
        names: Columns, of the embeddings or of what lies beside them.
        rows_at_once: Rows of the part, of a table at most.
        check: Refuses a part by its name and schema.

    Raises:
        ConfigError: When a file changed since the selection.
        UnreadablePartError: When a file beside it is damaged.
    """
    uri, expected = selection.parts[part], selection.part_rows[part]
    start = sum(selection.part_rows[:part])
    with storage.open_read(uri) as file, columns_beside(selection.beside, names) as (own, beside):
        parquet = pq.ParquetFile(file)
        if parquet.metadata.num_rows != expected:
            raise ConfigError(f"{uri} changed while it was read: {expected} rows, now {parquet.metadata.num_rows}")
        if check is not None:
            check(uri, parquet.schema_arrow)
        for batch in parquet.iter_batches(rows_at_once, columns=own or ["segment_id"]):
            rows = np.arange(start, start + batch.num_rows)
            start += batch.num_rows
            kept = rows[selection.codes_N[rows] != LEFT_OUT]
            if not len(kept):
                continue
            table = pa.Table.from_batches([batch]).take(pa.array(kept - rows[0]))
            if beside is not None and selection.beside_N is not None:
                table = with_columns(table, beside.take(selection.beside_N[kept]))
            yield table, kept
