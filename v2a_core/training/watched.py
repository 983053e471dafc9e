"""What a curve predictor learns from, out of embeddings with denser frames.

Shapes: N segments, G even times of the longest of them, D numbers of an embedding, F values of a curve.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from v2a_core.config import ConfigError
from v2a_core.protocols import CURVE_HZ
from v2a_core.tables import arrays
from v2a_core.timing.envelope import onset_bumps
from v2a_core.timing.predictors.grid import grid_frames, on_grid
from v2a_core.training.selected import selected
from v2a_core.training.selection import Selection

_ROWS_AT_ONCE = 4096

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
    """

    def __init__(self, rate: int, length_s: float) -> None:
        self._rate, self._frames = rate, grid_frames(length_s, rate)
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
        count = min(grid_frames(length_s, self._rate), self._frames)
        since_N = (times_s_N - start_s).astype(np.float32)
        frames_GD = _filled(on_grid(since_N, frames_ND, self._rate, length_s), self._frames)
        motion_G = _filled(on_grid(since_N, motion_N[:, None], self._rate, length_s), self._frames)[:, 0]
        values = self._frames * self._steps
        return {
            "frames": frames_GD.astype(np.float16),
            "motion": motion_G,
            "level": _filled(level_F[:, None], values)[:, 0],
            "onset": onset_bumps(onsets_s, values),
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
