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
from v2a_core.protocols import AnyFloats, Floats, Track

SCENES = 3  # of a soundtrack
TOLERANCE_S = 0.1
PREDICTOR = "gru"


@dataclass(frozen=True)
class Joined:
    """N scenes as they sound in soundtracks of several.

    Attributes:
        agreement_N: F1 of the onsets within TOLERANCE_S; NaN where neither the sound nor the real one has any.
        extra_N: Onsets at the beginning of each scene that follows another, which neither of their real sounds has,
            less those in its middle; NaN for scenes that come first.
        cut_N: The same of the real sounds, one behind the other as they are.
    """

    agreement_N: Floats
    extra_N: Floats
    cut_N: Floats


def follow_joined(
    studio: Studio, split: Split, indices: Sequence[int], conditions_ND: Floats, seeds: Sequence[int]
) -> Joined:
    """Make one soundtrack of a video of some scenes, and compare each of its parts with the real sound.

    Args:
        studio: The models.
        split: Of the scenes.
        indices: Of the scenes, in their order in the video, which is cut where they meet.
        conditions_ND: What their sounds are made from.
        seeds: Of the noise.
    """
    curve, length_s = studio.predict_together(split, indices, PREDICTOR), studio.length_s
    starts_s = [number * length_s for number in range(len(indices))]
    track = Track(conditions_ND, seeds, starts_s, len(indices) * length_s, curve=curve)
    (made_T,) = studio.generator.generate_tracks([track], JoinSettings().overlap_s)
    made_T = np.nan_to_num(made_T)
    sounds = [studio.sound(split, index) for index in indices]
    real = [onset_times(sound_T, SAMPLE_RATE) for sound_T in sounds]
    samples = round(length_s * SAMPLE_RATE)
    agreements = []
    for number, real_s in enumerate(real):
        part_T = made_T[number * samples : (number + 1) * samples]
        found = onset_agreement(onset_times(part_T, SAMPLE_RATE), real_s, TOLERANCE_S)
        agreements.append(np.nan if found is None else found)
    extra, cut = (
        extras(onset_times(heard_T, SAMPLE_RATE), real, length_s) for heard_T in (made_T, np.concatenate(sounds))
    )
    return Joined(np.array(agreements, np.float32), extra, cut)


def extras(heard_s: AnyFloats, real: Sequence[AnyFloats], length_s: float) -> Floats:
    """Of each scene of a soundtrack what `Joined.extra_N` says, float32 (N,).

    What a scene ends with is heard just before the next one begins: it is as real as what that begins with.

    Args:
        heard_s: Times of the onsets of the soundtrack.
        real: For each scene those of its real sound, from its own beginning.
        length_s: Of a scene.
    """
    starts_s = [number * length_s for number in range(len(real))]
    real_s = np.concatenate([times_s + start_s for times_s, start_s in zip(real, starts_s, strict=True)])
    found = [np.nan, *(extra_onsets(heard_s - start_s, real_s - start_s, length_s) for start_s in starts_s[1:])]
    return np.array(found, np.float32)


def extra_onsets(heard_s: AnyFloats, real_s: AnyFloats, length_s: float) -> float:
    """Onsets near the beginning of a scene that are not real, less those near its middle.

    Args:
        heard_s: Times from the beginning of the scene, of the whole soundtrack.
        real_s: Those of the onsets of the real sounds, also of the scenes around it.
        length_s: Of the scene.
    """
    unreal_s = [time for time in heard_s if not (np.abs(real_s - time) <= TOLERANCE_S).any()]
    begin, middle = (sum(abs(time - place) <= TOLERANCE_S for time in unreal_s) for place in (0.0, length_s / 2))
    return float(begin - middle)
