"""A curve without training: it is loud where much moves, and something begins where more moves than before and after.

Shapes: N frames, F values of a curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from v2a_core.config import setting
from v2a_core.metrics.av_align import motion_peaks
from v2a_core.models import LocalBundle
from v2a_core.protocols import CURVE_HZ, Curve, Watched
from v2a_core.timing.envelope import compress, onset_bumps
from v2a_core.timing.predictors import CURVE_PREDICTORS
from v2a_core.timing.predictors.config import PredictorSettings
from v2a_core.timing.predictors.grid import curve_frames, nothing, on_grid

# Of the largest motion, what a peak has at least.
LEAST_PEAK = 0.25


class MotionSettings(PredictorSettings):
    """How motion becomes a curve."""

    sees = False

    kind: Literal["motion"] = setting("motion", "the energy of motion, without training")
    frames_per_second: float = setting(10.0, "frames that are compared", unit="1/s", ge=1, le=CURVE_HZ)
    least_motion: float = setting(
        0.002, "what moves less than this at most is still: no curve; share of white", ge=0, le=1
    )
    steady: float = setting(
        0.5, "mean motion as a share of the largest from which on less and less is said of time", gt=0, le=1
    )

    def rate(self, local: LocalBundle) -> float:
        """See `PredictorSettings.rate`."""
        return self.frames_per_second


class MotionPredictor:
    """See `v2a_core.protocols.CurvePredictor`.

    Args:
        settings: How.
        local: Of no concern: nothing is embedded.
        device: Of no concern either.
    """

    def __init__(self, settings: MotionSettings, local: LocalBundle | None = None, device: str = "cpu") -> None:
        self._settings = settings

    def predict(self, watched: Sequence[Watched]) -> list[Curve]:
        """See `v2a_core.protocols.CurvePredictor.predict`."""
        return [self._predict(item) for item in watched]

    def _predict(self, seen: Watched) -> Curve:
        frames = curve_frames(seen.length_s)
        most = float(seen.motion_N.max(initial=0))
        if len(seen.times_s_N) < 2 or most < self._settings.least_motion:
            return nothing(frames)
        rate = self._settings.frames_per_second
        motion_N = on_grid(seen.times_s_N, (seen.motion_N / most)[:, None], rate, seen.length_s)[:, 0]
        # What differs from the frame before has moved between the two.
        times_F = (np.arange(frames) + 0.5) / CURVE_HZ
        level_F = compress(np.interp(times_F, (np.arange(len(motion_N)) - 0.5) / rate, motion_N))
        onsets_s = motion_peaks(motion_N, rate, LEAST_PEAK) - 0.5 / rate
        # Where much moves all the time, motion tells little of when something sounds.
        steady = self._settings.steady
        sure = min(1.0, (1 - float(motion_N.mean())) / steady)
        return Curve(level_F, onset_bumps(onsets_s, frames), np.full(frames, sure, np.float32))


CURVE_PREDICTORS.add("motion", MotionPredictor, MotionSettings)
