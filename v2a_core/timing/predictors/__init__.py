"""Curve predictors: from what is seen to when and how loud it shall sound. One file each, with its settings.

A predictor looks at frames that are denser than those of mappers, and says how sure it is. What a generator makes of a
curve is the generator's.

Another package adds one with an entry point in the group `v2a.curve_predictors`, whose module ends with
`CURVE_PREDICTORS.add("its-name", ItsPredictor, ItsSettings)` and loads no torch when it is imported.
"""

from __future__ import annotations

from collections.abc import Callable

from v2a_core.models import LocalBundle
from v2a_core.protocols import CurvePredictor
from v2a_core.registry import Registry
from v2a_core.timing.predictors.config import PredictorSettings
from v2a_core.timing.predictors.shots import ShotByShot

# A component is called with its settings, the bundle and the device.
CURVE_PREDICTORS: Registry[Callable[..., CurvePredictor]] = Registry(
    "curve predictor",
    "v2a.curve_predictors",
    {"gru": "v2a_core.timing.predictors.gru", "motion": "v2a_core.timing.predictors.motion"},
)


def build(settings: PredictorSettings, local: LocalBundle, device: str = "cpu") -> CurvePredictor:
    """The predictor that settings are of; it is shown shot by shot.

    Args:
        settings: Which, and how.
        local: The bundle whose vision encoder embeds the frames.
        device: `cpu`, `cuda`, ...

    Raises:
        ConfigError: When the bundle has none, or it was trained on frames of another vision encoder.
        ModelError: When its weights cannot be had, or are damaged.
    """
    return ShotByShot(CURVE_PREDICTORS[settings.kind].component(settings, local, device), settings.least_cut)
