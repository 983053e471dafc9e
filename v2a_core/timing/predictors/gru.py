"""A small trained network: embeddings of frames and the energy of motion to levels and onsets.

Shapes: G even times, D numbers of an embedding, F values of a curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

import numpy as np

from v2a_core import storage
from v2a_core.config import setting
from v2a_core.models import LocalBundle
from v2a_core.models.checkpoints import load_exactly, load_tensors
from v2a_core.models.parts import SOURCE
from v2a_core.protocols import CURVE_HZ, Curve, Floats, Watched
from v2a_core.timing.envelope import onset_bumps
from v2a_core.timing.predictors import CURVE_PREDICTORS
from v2a_core.timing.predictors.config import PredictorSettings
from v2a_core.timing.predictors.grid import curve_frames, nothing, on_grid
from v2a_core.timing.predictors.trained import TrainedConfig, check_predictor, find_predictor

AROUND_S = 0.5  # how sure it is, is the mean this far around
GAP_S = 0.06  # onsets are at least this far apart


class GruSettings(PredictorSettings):
    """Which weights, and what is made of what they say."""

    kind: Literal["gru"] = setting("gru", "a small recurrent network, trained on frames and sounds")
    weights: str | None = setting(None, f"folder of the trained predictor; none: the bundle's own: {SOURCE}")
    least_sure: float = setting(
        0.05, "a segment of which no moment is surer is left free; 0: none, 1: all but the surest", ge=0, le=1
    )

    def canonical(self) -> Self:
        """See `PredictorSettings.canonical`."""
        if self.weights is None or not Path(self.weights).exists():
            return self
        return self.model_copy(update={"weights": storage.canonical(self.weights)})

    def check(self, local: LocalBundle) -> None:
        """See `PredictorSettings.check`."""
        self.described(local)

    def rate(self, local: LocalBundle) -> float:
        """See `PredictorSettings.rate`."""
        return float(self.described(local).frames_per_second)

    def fingerprint(self, local: LocalBundle) -> str:
        """See `PredictorSettings.fingerprint`."""
        return find_predictor(self.weights, local).fingerprint

    def described(self, local: LocalBundle) -> TrainedConfig:
        """What its folder says of it, checked to fit the bundle."""
        return check_predictor(find_predictor(self.weights, local), local, self.kind)


class GruPredictor:
    """See `v2a_core.protocols.CurvePredictor`.

    Args:
        settings: Which.
        local: The bundle whose vision encoder embeds the frames.
        device: Of no concern: it is smaller than the way to a GPU.
    """

    def __init__(self, settings: GruSettings, local: LocalBundle, device: str = "cpu") -> None:
        from v2a_core.models.unset import UnsetWeights
        from v2a_core.timing.predictors.gru_network import TimingNetwork

        self.config, self._settings = settings.described(local), settings
        path = find_predictor(settings.weights, local).path
        config = self.config
        with UnsetWeights():
            network = TimingNetwork(
                config.vision_dim, CURVE_HZ // config.frames_per_second, config.width, config.hidden
            )
        load_exactly(network, load_tensors(path), path)
        self._network = network.eval()

    def predict(self, watched: Sequence[Watched]) -> list[Curve]:
        """See `v2a_core.protocols.CurvePredictor.predict`; one by one, so that it is the same for any number.

        Raises:
            ValueError: For motion without embeddings.
        """
        return [self._predict(item) for item in watched]

    def _predict(self, seen: Watched) -> Curve:
        frames = curve_frames(seen.length_s)
        if seen.frames_ND is None:
            raise ValueError("the predictor gru looks at embeddings of frames, and there is motion alone")
        if len(seen.times_s_N) < 2:
            return nothing(frames)
        level_F, spread_F, onset_F = (values[:frames] for values in self._ask(seen))
        config = self.config
        sure_F = (config.unsure_spread - spread_F) / max(config.unsure_spread - config.sure_spread, 1e-6)
        weight_F = around(np.clip(sure_F, 0, 1), round(AROUND_S * CURVE_HZ))
        if weight_F.max() < self._settings.least_sure:
            return nothing(frames)
        level_F = np.clip(level_F / max(float(level_F.max()), 1e-6), 0, 1)
        onsets_s = peaks(onset_F, config.onset_threshold) / CURVE_HZ
        return Curve(level_F.astype(np.float32), onset_bumps(onsets_s, frames), weight_F)

    def _ask(self, seen: Watched) -> tuple[Floats, Floats, Floats]:
        """Level, its standard deviation, and the probability of an onset, float32 (F or a few more,) each."""
        import torch

        from v2a_core.timing.predictors.gru_network import told_levels

        rate = float(self.config.frames_per_second)
        assert seen.frames_ND is not None
        frames_GD = on_grid(seen.times_s_N, seen.frames_ND, rate, seen.length_s)
        frames_GD /= np.maximum(np.linalg.norm(frames_GD, axis=1, keepdims=True), 1e-6)
        motion_G = on_grid(seen.times_s_N, seen.motion_N[:, None], rate, seen.length_s)[:, 0]
        with torch.inference_mode():
            levels_1FK, onsets_1F = self._network(torch.from_numpy(frames_GD)[None], torch.from_numpy(motion_G)[None])
            level_1F, spread_1F = told_levels(levels_1FK)
            found = (level_1F[0], spread_1F[0], onsets_1F[0].sigmoid())
        level_F, spread_F, onset_F = (values.numpy() for values in found)
        return level_F, spread_F, onset_F


def peaks(chances_F: Floats, threshold: float) -> Floats:
    """Places of what is likely an onset: the largest around, and above a threshold; float32, ascending."""
    gap = round(GAP_S * CURVE_HZ)
    taken: list[int] = []
    for place in np.argsort(-chances_F, kind="stable"):
        if chances_F[place] < threshold:
            break
        if all(abs(int(place) - other) > gap for other in taken):
            taken.append(int(place))
    return np.sort(np.array(taken, np.float32))


def around(values_F: Floats, reach: int) -> Floats:
    """Mean of each value's neighbourhood, cut off at the ends, float32 (F,)."""
    sums = np.concatenate([[0.0], np.cumsum(values_F, dtype=np.float64)])
    places = np.arange(len(values_F))
    first, last = np.maximum(places - reach, 0), np.minimum(places + reach + 1, len(values_F))
    means: Floats = ((sums[last] - sums[first]) / (last - first)).astype(np.float32)
    return means


CURVE_PREDICTORS.add("gru", GruPredictor, GruSettings)
