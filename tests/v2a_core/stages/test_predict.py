"""From denser frames of segments to the curve of a soundtrack."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from v2a_core.catalog import Source
from v2a_core.protocols import Curve, Watched
from v2a_core.stages.gather import SourceGatherer
from v2a_core.stages.predict import pack, predict_curves, unpack
from v2a_core.tables import arrays, rows
from v2a_core.tables.schema import OK, REJECTED


class Starts:
    """Says of a segment how many frames it has, loudest at the first that was shown; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Watched] = []

    def predict(self, watched: Sequence[Watched]) -> list[Curve]:
        self.asked += watched
        found = []
        for item in watched:
            level_F = np.full(round(item.length_s * 50), 0.5, np.float32)
            level_F[round(float(item.times_s_N[0]) * 50)] = 1
            found.append(Curve(level_F, np.zeros_like(level_F), np.ones_like(level_F)))
        return found


def segment(index: int, *, bad: bool = False, frames: int = 3) -> dict[str, object]:
    about = {
        "segment_id": f"s-{index}", "source_id": "s", "source_uri": "/s.mp4", "source_name": "s.mp4", "kind": "video",
        "segment_index": index, "segment_count": 3, "start_s": 4.0 + index, "duration_s": 1.0,
        "source_duration_s": 3.3, "source": rows.pack_source(Source("/s.mp4", "s.mp4", "video")),
        "status": REJECTED if bad else OK,
    }  # fmt: skip
    times = (4.0 + index + 0.2 + np.arange(frames) / 10).astype(np.float32)
    return about if bad else {**about, "timing_times_s": times, "timing_motion": np.zeros(frames, np.float32)}


def mapped(*segments: dict[str, object]) -> pa.Table:
    table = rows.table(segments)  # type: ignore[arg-type]
    conditions = [None if row["status"] == REJECTED else np.ones(512, np.float32) for row in segments]
    frames = [np.zeros((3, 4), np.float16) if "timing_times_s" in row else None for row in segments]
    return rows.replace(
        table,
        {
            "condition": arrays.vectors(conditions, 512),
            "map_s": pa.array([0.1] * len(segments)),
            "timing_frames": arrays.vector_lists(frames, 4, np.float16),
        },
    )


def test_each_good_segment_gets_a_curve_and_its_denser_frames_are_dropped() -> None:
    predictor = Starts()
    found = predict_curves(mapped(segment(0), segment(1, bad=True), segment(2)), predictor, sees=True)
    curves = arrays.read_vector_lists(found["curve"])
    assert [None if curve is None else curve.shape for curve in curves] == [(50, 3), None, (50, 3)]
    assert not [name for name in found.column_names if name.startswith("timing")]
    np.testing.assert_allclose(predictor.asked[1].times_s_N, [0.2, 0.3, 0.4], atol=1e-6)
    assert predictor.asked[0].frames_ND.shape == (3, 4)
    alone = Starts()
    predict_curves(mapped(segment(0)), alone, sees=False)
    assert alone.asked[0].frames_ND is None


def test_curves_of_segments_make_that_of_their_source_in_any_order() -> None:
    made = predict_curves(mapped(segment(2), segment(0), segment(1, bad=True)), Starts(), sees=True)
    gatherer = SourceGatherer()
    assert gatherer.add(made.slice(0, 2)).num_rows == 0
    whole = gatherer.add(made.slice(2))
    (curve_FP,) = arrays.read_vector_lists(whole["curve"])
    assert curve_FP.shape == (165, 3)  # 3.3 s
    assert np.flatnonzero(curve_FP[:, 0] == 1).tolist() == [10, 110]
    assert np.flatnonzero(curve_FP[:, 2]).tolist() == [*range(50), *range(100, 150)]


def test_a_curve_travels_in_half_precision_and_one_that_counts_nowhere_is_none() -> None:
    curve = Curve(*(np.linspace(0, 1, 7, dtype=np.float32) for _ in range(3)))
    back = unpack(pack(curve))
    np.testing.assert_allclose(back.level_F, curve.level_F, atol=1e-3)
    assert back.level_F.dtype == np.float32
    assert unpack(pack(Curve(curve.level_F, curve.onset_F, np.zeros(7, np.float32)))) is None
    assert unpack(None) is None
