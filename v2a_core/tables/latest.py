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

COLUMNS = ("source_key", "source_id", "recorded_at")


def latest(table: pa.Table) -> pa.Table:
    """The rows of the newest version of each source.

    Args:
        table: Rows of an output, with `COLUMNS` among its columns.
    """
    newest = is_latest(table)
    return table if newest.all() else table.filter(pa.array(newest))


def is_latest(table: pa.Table) -> npt.NDArray[np.bool_]:
    """For each row whether it is of the newest version of its source, bool (rows,)."""
    versions = table.select(COLUMNS).group_by(["source_key", "source_id"]).aggregate([("recorded_at", "max")])
    if len(pc.unique(versions["source_key"])) == versions.num_rows:
        return np.ones(table.num_rows, bool)
    versions = versions.sort_by([("source_key", "ascending"), ("recorded_at_max", "ascending")])
    keys = versions["source_key"].combine_chunks().dictionary_encode().indices.to_numpy()
    last = np.append(keys[1:] != keys[:-1], [True])
    newest = versions["source_id"].filter(pa.array(last))
    mask: npt.NDArray[np.bool_] = pc.is_in(table["source_id"], value_set=newest.combine_chunks()).to_numpy()
    return mask
