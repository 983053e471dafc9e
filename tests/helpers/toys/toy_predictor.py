"""A curve predictor of another package: it sounds when the picture becomes another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from v2a_core.config import setting
from v2a_core.models import LocalBundle
from v2a_core.protocols import CURVE_HZ, Curve, Watched
from v2a_core.timing.envelope import onset_bumps
from v2a_core.timing.predictors import CURVE_PREDICTORS
from v2a_core.timing.predictors.config import PredictorSettings
from v2a_core.timing.predictors.grid import curve_frames, nothing


class CutsSettings(PredictorSettings):
    """What can be set."""

    kind: Literal["cuts"] = setting("cuts", "a strike at every cut")
    frames_per_second: float = setting(5.0, "frames that are compared", unit="1/s", ge=1, le=CURVE_HZ)
    unlike: float = setting(0.1, "cosine distance of two frames between which there is a cut", gt=0, le=2)
    rings_s: float = setting(0.3, "how long a strike takes to fade", unit="s", gt=0)

    def rate(self, local: LocalBundle) -> float:
        """As set."""
        return self.frames_per_second


class Cuts:
    """Strikes that ring."""

    def __init__(self, settings: CutsSettings, local: LocalBundle, device: str = "cpu") -> None:
        self._unlike, self._rings_s = settings.unlike, settings.rings_s

    def predict(self, watched: Sequence[Watched]) -> list[Curve]:
        """A curve a segment; of one that stays as it is nothing is said."""
        return [self._predict(seen) for seen in watched]

    def _predict(self, seen: Watched) -> Curve:
        frames = curve_frames(seen.length_s)
        assert seen.frames_ND is not None  # a predictor that sees is always given them
        frames_ND = np.asarray(seen.frames_ND, np.float32)
        distance_N = 1 - (frames_ND[1:] * frames_ND[:-1]).sum(axis=1)
        cuts_s = seen.times_s_N[1:][distance_N > self._unlike]
        if not len(cuts_s):
            return nothing(frames)
        since_FC = (np.arange(frames)[:, None] - np.rint(cuts_s * CURVE_HZ)) / CURVE_HZ
        ringing_FC = np.where(since_FC >= 0, 1 - since_FC / self._rings_s, 0).clip(0)
        return Curve(
            ringing_FC.max(axis=1).astype(np.float32), onset_bumps(cuts_s, frames), np.ones(frames, np.float32)
        )


CURVE_PREDICTORS.add("cuts", Cuts, CutsSettings)
