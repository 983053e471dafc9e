"""How closely soundtracks of several scenes follow their curves, and whether one hears where the scenes meet.

Shapes: N scenes, T samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from v2a_core.generators.windows import JoinSettings
from v2a_core.media.log_mel import SAMPLE_RATE
from v2a_core.metrics.extractors.onsets import onset_times
from v2a_core.metrics.onsets import onset_agreement
from v2a_core.miniature.score.studio import Studio
from v2a_core.miniature.world.scenes import Split
from v2a_core.protocols import AnyFloats, Curve, Floats, Track

SCENES = 3  # of a soundtrack
TOLERANCE_S = 0.1
PREDICTOR = "gru"


@dataclass(frozen=True)
class Joined:
    """N scenes as they sound in soundtracks of several.

    Attributes:
        agreement_N: F1 of the onsets within TOLERANCE_S; NaN where neither the sound nor the real one has any.
        extra_N: Onsets at the beginning of each scene that follows another, which its real sound has not, less those in
            its middle; NaN for scenes that come first.
    """

    agreement_N: Floats
    extra_N: Floats


def follow_joined(
    studio: Studio, split: Split, indices: Sequence[int], conditions_ND: Floats, seeds: Sequence[int]
) -> Joined:
    """Make one soundtrack of some scenes, and compare each of its parts with the real sound.

    Args:
        studio: The models.
        split: Of the scenes.
        indices: Of the scenes, in their order in the soundtrack.
        conditions_ND: What their sounds are made from.
        seeds: Of the noise.
    """
    curves, length_s = studio.predict(split, indices, PREDICTOR, "paint"), studio.length_s
    starts_s = [number * length_s for number in range(len(indices))]
    track = Track(conditions_ND, seeds, starts_s, len(indices) * length_s, curve=behind_each_other(curves))
    (made_T,) = studio.generator.generate_tracks([track], JoinSettings().overlap_s)
    made_T = np.nan_to_num(made_T)
    samples = round(length_s * SAMPLE_RATE)
    heard_s = onset_times(made_T, SAMPLE_RATE)
    agreements, extras = [], []
    for number, index in enumerate(indices):
        part_T = made_T[number * samples : (number + 1) * samples]
        real_s = onset_times(studio.sound(split, index), SAMPLE_RATE)
        found = onset_agreement(onset_times(part_T, SAMPLE_RATE), real_s, TOLERANCE_S)
        agreements.append(np.nan if found is None else found)
        extras.append(extra_onsets(heard_s - starts_s[number], real_s, length_s) if number else np.nan)
    return Joined(np.array(agreements, np.float32), np.array(extras, np.float32))


def behind_each_other(curves: Sequence[Curve]) -> Curve:
    """The curve of a soundtrack whose segments have these."""
    names = ("level_F", "onset_F", "weight_F")
    return Curve(*(np.concatenate([getattr(curve, name) for curve in curves]) for name in names))


def extra_onsets(heard_s: AnyFloats, real_s: AnyFloats, length_s: float) -> float:
    """Onsets near the beginning of a scene that are not real, less those near its middle.

    Args:
        heard_s: Times from the beginning of the scene, of the whole soundtrack.
        real_s: Times of the onsets of the real sound.
        length_s: Of the scene.
    """
    unreal_s = [time for time in heard_s if not (np.abs(real_s - time) <= TOLERANCE_S).any()]
    begin, middle = (sum(abs(time - place) <= TOLERANCE_S for time in unreal_s) for place in (0.0, length_s / 2))
    return float(begin - middle)
