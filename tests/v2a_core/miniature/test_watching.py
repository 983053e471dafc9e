"""A video of several scenes is seen as one, and what each of them sounds like in time is as if it were alone."""

from __future__ import annotations

import numpy as np
import pytest

from v2a_core.encoders import EncoderSettings, build_vision
from v2a_core.miniature.watching import watch, watch_together
from v2a_core.miniature.world import KINDS, WorldSettings, sample
from v2a_core.models import load_bundle
from v2a_core.timing.predictors import CURVE_PREDICTORS, build
from v2a_core.timing.predictors.config import PredictorSettings
from v2a_core.timing.predictors.shots import behind_each_other

LENGTH_S = 2.0


@pytest.mark.parametrize("name", CURVE_PREDICTORS.names())
def test_a_cut_between_scenes_changes_the_curve_of_neither(name: str) -> None:
    local = load_bundle("miniature").resolve()
    settings = CURVE_PREDICTORS.settings(name)()
    assert isinstance(settings, PredictorSettings)
    encoder = build_vision(local, EncoderSettings()) if settings.sees else None
    rate, size = settings.rate(local), local.media_spec().image_size
    scenes = [sample(WorldSettings(), "train", KINDS.index(kind)) for kind in ("bouncing ball", "drum")]
    together = watch_together(scenes, encoder, rate, LENGTH_S, size)
    (curve,) = build(settings, local).predict([together])
    alone = behind_each_other(build(settings, local).predict(watch(scenes, encoder, rate, LENGTH_S, size)))
    np.testing.assert_allclose(curve.level_F, alone.level_F, atol=0.01)
    np.testing.assert_array_equal(curve.onset_F, alone.onset_F)
    (uncut,) = build(settings.model_copy(update={"least_cut": 1.0}), local).predict([together])
    assert np.abs(uncut.level_F - alone.level_F).mean() > 0.1
