"""What a curve predictor learns from, out of embeddings with denser frames.

Shapes: N segments, G even times of the longest of them, D numbers of an embedding, F values of a curve.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from v2a_core.config import ConfigError
from v2a_core.protocols import CURVE_HZ, AnyFloats, Watched
from v2a_core.tables import arrays
from v2a_core.timing.envelope import onset_bumps
from v2a_core.timing.predictors.grid import grid_frames, on_grid
from v2a_core.timing.predictors.shots import shots_of
from v2a_core.training.selected import selected
from v2a_core.training.selection import Selection

_ROWS_AT_ONCE = 4096
_EPSILON = 1e-4

COLUMNS = (
    "start_s",
    "duration_s",
    "timing_times_s",
    "timing_motion",
    "timing_frames",
    "timing_level",
    "timing_onsets_s",
)


class WatchedSegments:
    """Reads tables.

    Args:
        rate: Frames a second, a divisor of `CURVE_HZ`.
        length_s: Of the longest segment.
        least_cut: Of a segment that is cut, the longest shot is learned from: a predictor is asked about shots. See
            `predictor_config.PieceSettings`.
    """

    def __init__(self, rate: int, length_s: float, least_cut: float) -> None:
        self._rate, self._frames, self._least_cut = rate, grid_frames(length_s, rate), least_cut
        self._steps = CURVE_HZ // rate

    def read(self, table: pa.Table) -> dict[str, npt.NDArray[np.generic]]:
        """Arrays of the rows, of which `leave_out` has left those to be learned from.

        They are `frames` (N, G, D), `motion` (N, G), `level` and `onset` (N, F), and `count` (N,): how many of the even
        times are of the segment, the rest fills up.

        Raises:
            ConfigError: When a row lacks what is learned from.
        """
        lacking = [name for name in COLUMNS if table[name].null_count]
        if lacking:
            raise ConfigError(f"rows of embeddings lack their {', '.join(lacking)}: `v2a verify` says what is damaged")
        found = [self._row(*values) for values in zip(*(self._values(table, name) for name in COLUMNS), strict=True)]
        return {name: np.stack([row[name] for row in found]) for name in found[0]}

    def _values(self, table: pa.Table, name: str) -> list[object]:
        if name in ("start_s", "duration_s"):
            return list(table[name].to_pylist())
        return list((arrays.read_vector_lists if name == "timing_frames" else arrays.read_vectors)(table[name]))

    def _row(
        self,
        start_s: float,
        duration_s: float,
        times_s_N: npt.NDArray[np.float32],
        motion_N: npt.NDArray[np.float32],
        frames_ND: npt.NDArray[np.float16],
        level_F: npt.NDArray[np.float32],
        onsets_s: npt.NDArray[np.float32],
    ) -> dict[str, npt.NDArray[np.generic]]:
        # A longer segment than the audio encoder hears is learned from as far as it was heard.
        length_s = min(duration_s, len(level_F) / CURVE_HZ)
        watched = Watched((times_s_N - start_s).astype(np.float32), motion_N, frames_ND, length_s)
        value, seen = max(shots_of(watched, self._least_cut), key=lambda shot: shot.seen.length_s)
        count = min(grid_frames(seen.length_s, self._rate), self._frames)
        frames_GD, motion_G1 = (
            _filled(on_grid(seen.times_s_N, values_ND, self._rate, seen.length_s), self._frames)
            for values_ND in (cast(AnyFloats, seen.frames_ND), seen.motion_N[:, None])
        )
        values, since_s = self._frames * self._steps, onsets_s - np.float32(value / CURVE_HZ)
        return {
            "frames": frames_GD.astype(np.float16),
            "motion": motion_G1[:, 0],
            "level": _filled(level_F[value:, None], values)[:, 0],
            "onset": onset_bumps(since_s[since_s > -_EPSILON], values),
            "count": np.array(count, np.int64),
        }


def leave_out(selection: Selection) -> Selection:
    """The same without segments of which too little is seen over time, or nothing is heard; reads no embeddings."""
    left_N = np.zeros(len(selection.codes_N), bool)
    for table, rows in selected(selection, ["timing_times_s", "timing_level"], _ROWS_AT_ONCE):
        # One frame alone does not move: there is nothing to learn when.
        moves = pc.fill_null(pc.list_value_length(table["timing_times_s"]), 0).to_numpy() > 1
        left_N[rows] = ~(moves & pc.is_valid(table["timing_level"]).to_numpy())
    return selection.without(left_N, "not seen over time")


def _filled(values_GD: npt.NDArray[np.float32], length: int) -> npt.NDArray[np.float32]:
    """Cut or filled up with zeros to so many rows."""
    return np.pad(values_GD[:length], ((0, max(0, length - len(values_GD))), (0, 0)))
