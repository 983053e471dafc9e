"""What was seen in a batch of segments becomes the condition of its sound."""

from __future__ import annotations

import time

import numpy as np
import pyarrow as pa

from v2a_core.compute.seeds import segment_seed
from v2a_core.media.types import MediaError
from v2a_core.protocols import ConditionMapper
from v2a_core.tables import arrays, rows
from v2a_core.tables.schema import EMBEDDING_DIM, OK


def map_conditions(batch: pa.Table, mapper: ConditionMapper, run_seed: int) -> pa.Table:
    """Add `condition`, the mapped sound embedding, drop the frame embeddings."""
    started = time.monotonic()
    frames = arrays.read_vector_lists(batch["vision_frames"])
    ok = [item is not None and status == OK for item, status in zip(frames, batch["status"].to_pylist(), strict=True)]
    ids = batch["segment_id"].to_pylist()
    seeds = [segment_seed(run_seed, identity, "mapper") for identity, use in zip(ids, ok, strict=True) if use]
    used = [item for item, use in zip(frames, ok, strict=True) if use and item is not None]
    mapped = iter(mapper.map(used, seeds) if used else ())
    conditions = [next(mapped) if use else None for use in ok]
    bad = [item is not None and not np.isfinite(item).all() for item in conditions]
    conditions = [None if is_bad else item for item, is_bad in zip(conditions, bad, strict=True)]
    columns = {
        "condition": arrays.vectors(conditions, EMBEDDING_DIM),
        "map_s": rows.per_row_seconds(time.monotonic() - started, ok),
    }
    batch = rows.replace(batch, columns, drop=["vision_frames"])
    return rows.reject_where(batch, bad, MediaError("map", "NonFinite", "the mapped embedding is not finite"))
