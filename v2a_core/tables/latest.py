"""Which rows of an output are of the newest version of their source.

A file that was replaced between two runs has rows of both versions: nothing that was made is thrown away. Its place
keeps its `source_key`, each version has a `source_id` of its own, and `recorded_at` tells which one came last. Whoever
reads an output wants the last one; in DuckDB:

    SELECT * FROM 'embeddings/rows/*.parquet'
    QUALIFY source_id = arg_max(source_id, recorded_at) OVER (PARTITION BY source_key)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from v2a_core.compute import ids as ids_of
from v2a_core.compute.ids import Flags, Ids

COLUMNS = ("source_key", "source_id", "recorded_at")


def latest(table: pa.Table) -> pa.Table:
    """The rows of the newest version of each source.

    Args:
        table: Rows of an output, with `COLUMNS` among its columns.
    """
    newest = is_latest(table)
    return table if newest.all() else table.filter(pa.array(newest))


def is_latest(table: pa.Table) -> Flags:
    """For each row whether it is of the newest version of its source, bool (rows,)."""
    recorded = pc.cast(table["recorded_at"], pa.int64()).to_numpy()
    return of_newest(ids_of.pack(table["source_key"]), ids_of.pack(table["source_id"]), recorded)


def of_newest(keys: Ids, ids: Ids, recorded: npt.NDArray[np.int64]) -> Flags:
    """The same of columns of numbers: the newest version of a source is that of its last row.

    Args:
        keys: `source_key` of each row.
        ids: `source_id`.
        recorded: `recorded_at`.
    """
    if ids_of.all_differ(keys):
        return np.ones(len(keys), bool)
    order = np.lexsort((recorded, keys[:, 1], keys[:, 0]))
    first = ids_of.starts(keys[order])
    last = np.append(first[1:], True)[: len(order)]
    newest = ids[order[last]][np.cumsum(first) - 1]
    found = np.empty(len(order), bool)
    found[order] = (newest == ids[order]).all(axis=1)
    return found
