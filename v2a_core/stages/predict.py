"""What was seen of a batch of segments over time becomes the curves that their sounds follow."""

from __future__ import annotations

import time

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from v2a_core.protocols import Curve, CurvePredictor, Watched
from v2a_core.tables import arrays, rows
from v2a_core.tables.arrays import Array
from v2a_core.tables.schema import CURVE_PARTS, OK

_USED = (
    *("timing_times_s", "timing_motion", "timing_frames", "timing_pixels"),
    *("timing_level", "timing_onsets_s"),
)


def predict_curves(batch: pa.Table, predictor: CurvePredictor, sees: bool) -> pa.Table:
    """Add `curve`, drop the denser frames. Rows without them, rejected ones above all, get none.

    Args:
        batch: Rows of `rows.TRANSIT` with denser frames.
        predictor: What predicts.
        sees: Whether it looks at embeddings; else the motion is enough.
    """
    started = time.monotonic()
    seen = _watched(batch, sees)
    curves = iter(predictor.predict([item for item in seen if item is not None]))
    packed = [None if item is None else pack(next(curves)) for item in seen]
    columns = {"curve": arrays.vector_lists(packed, CURVE_PARTS, np.float16)}
    if "map_s" in batch.column_names:  # predicting is a part of mapping what is seen
        seconds = rows.per_row_seconds(time.monotonic() - started, [item is not None for item in seen])
        columns["map_s"] = pc.add(pc.fill_null(batch["map_s"].combine_chunks(), 0.0), seconds)
    return rows.replace(batch, columns, drop=_USED)


def pack(curve: Curve) -> Array:
    """A curve as it travels and as the index keeps it: level, onset and weight of each value, float16 (F, 3)."""
    packed: Array = np.stack([curve.level_F, curve.onset_F, curve.weight_F], axis=1).astype(np.float16)
    return packed


def unpack(packed: Array | None) -> Curve | None:
    """The inverse of `pack`; None for a curve that counts nowhere, too."""
    if packed is None or not packed[:, 2].any():
        return None
    level_F, onset_F, weight_F = np.ascontiguousarray(packed.T, np.float32)
    return Curve(level_F, onset_F, weight_F)


def _watched(batch: pa.Table, sees: bool) -> list[Watched | None]:
    times, motion = (arrays.read_vectors(batch[name]) for name in ("timing_times_s", "timing_motion"))
    frames = arrays.read_vector_lists(batch["timing_frames"]) if sees else [None] * batch.num_rows
    found: list[Watched | None] = []
    about = batch.select(["status", "start_s", "duration_s"]).to_pylist()
    for row, times_s_N, motion_N, frames_ND in zip(about, times, motion, frames, strict=True):
        if row["status"] != OK or times_s_N is None or motion_N is None or (sees and frames_ND is None):
            found.append(None)
            continue
        since_N = (times_s_N - row["start_s"]).astype(np.float32)
        found.append(Watched(since_N, motion_N, frames_ND, row["duration_s"]))
    return found
