"""How closely sounds follow a curve: that of their scene's real sound, predicted ones, that of another scene, or none.

Shapes: N scenes, D numbers of an embedding, T samples.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from v2a_core.compute.seeds import segment_seed
from v2a_core.generators.ranking import CandidateSettings
from v2a_core.media.log_mel import SAMPLE_RATE
from v2a_core.metrics.extractors.onsets import onset_times
from v2a_core.metrics.onsets import onset_agreement
from v2a_core.miniature.score.config import ScoreSettings
from v2a_core.miniature.score.long_tracks import SCENES, Joined, follow_joined
from v2a_core.miniature.score.studio import Crew, Studio, chunks, together
from v2a_core.miniature.score.systems import HeldOut
from v2a_core.miniature.world import KINDS
from v2a_core.miniature.world.canvas import Style
from v2a_core.miniature.world.scenes import Split
from v2a_core.protocols import Curve, Floats, Track
from v2a_core.timing.envelope import envelope, keeps_to, level

TOLERANCE_S, NEAR_S = 0.1, 0.05
OVERLAP_S = 0.0  # sounds of one segment
# Curves that are predicted from the pictures: by which predictor, and how these are drawn.
PREDICTED: dict[str, tuple[str, Style]] = {
    "predicted": ("gru", "paint"), "ink": ("gru", "ink"), "motion": ("motion", "paint"), "choice": ("gru", "paint"),
}  # fmt: skip
CEILING = "rebuilt"  # real sounds through VAE and vocoder: no sound of the generator can be closer
# In the order in which they are heard.
WAYS = (CEILING, "free", "predicted", "own", "other", "ink", "motion", "choice")
# Sounds made for a scene in the way `choice`; the first of them is the one of `predicted`.
CHOICE = CandidateSettings(count=4, timing_weight=1.0)


@dataclass(frozen=True)
class Followed:
    """N made sounds beside the real ones of their scenes.

    Attributes:
        agreement_N: F1 of the onsets within TOLERANCE_S; NaN where neither has any.
        near_N: The same within NEAR_S.
        correlation_N: Of their levels over time; NaN where one of them is constant.
        kinds_N: Index of the kind that the judge names.
    """

    agreement_N: Floats
    near_N: Floats
    correlation_N: Floats
    kinds_N: npt.NDArray[np.int64]


def follow_all(
    crew: Crew, held_out: HeldOut, conditions_ND: Floats, settings: ScoreSettings, predicts: bool
) -> dict[str, Followed]:
    """The first scenes in each of the ways.

    Args:
        crew: Studios.
        held_out: The scenes.
        conditions_ND: What their sounds are made from, L2-normalised.
        settings: Of the score.
        predicts: Whether the bundle has a predictor.
    """
    count = min(settings.follow_per_class * len(KINDS), len(held_out.scenes))
    found = {}
    for way in WAYS:
        if way in PREDICTED and PREDICTED[way][0] == "gru" and not predicts:
            continue
        started = time.monotonic()
        items = [
            (settings.split, part, count, way, conditions_ND[part], _seeds(held_out, part))
            for part in chunks(range(count))
        ]
        found[way] = together(Followed, crew.each(follow, items))
        _tell(way, found[way], time.monotonic() - started)
    return found


def _tell(way: str, followed: Followed, seconds: float) -> None:
    """A line while the rest is still being made: the whole takes long."""
    means = [
        float(values_N[np.isfinite(values_N)].mean()) if np.isfinite(values_N).any() else np.nan
        for values_N in (followed.agreement_N, followed.correlation_N)
    ]
    told = f"onset F1 {means[0]:.3f}, correlation of levels {means[1]:.3f}"
    print(f"score: {len(followed.kinds_N)} sounds, {way}: {told}, in {seconds:.1f} s", file=sys.stderr, flush=True)


def join_all(crew: Crew, held_out: HeldOut, conditions_ND: Floats, settings: ScoreSettings) -> Joined:
    """The same scenes, neighbours together in soundtracks, with predicted curves; too few for one are left out."""
    count = min(settings.follow_per_class * len(KINDS), len(held_out.scenes))
    items = [
        (settings.split, part, conditions_ND[part], _seeds(held_out, part))
        for part in chunks(range(count), SCENES)
        if len(part) == SCENES
    ]
    return together(Joined, crew.each(follow_joined, items))


def others_of(indices: Sequence[int], count: int, way: str) -> list[int | None]:
    """Whose curve each scene's sound follows: its own, that of the next scene of its kind, or nobody's.

    Args:
        indices: Of the scenes.
        count: Of those that are scored; the kinds take turns in them.
        way: `free`, `own` or `other`.
    """
    step = len(KINDS) if count > len(KINDS) else 1
    given: dict[str, list[int | None]] = {
        "free": [None] * len(indices),
        "own": list(indices),
        "other": [(index + step) % count for index in indices],
    }
    return given[way]


def follow(
    studio: Studio,
    split: Split,
    indices: Sequence[int],
    count: int,
    way: str,
    conditions_ND: Floats,
    seeds: Sequence[int],
) -> Followed:
    """Make a sound for each scene, and compare it with the real one."""
    if way == CEILING:
        made = studio.rebuild(split, indices)
    else:
        curves: list[Curve | None]
        if way in PREDICTED:
            curves = [*studio.predict(split, indices, *PREDICTED[way])]
        else:
            curves = [_curve(studio, split, other) for other in others_of(indices, count, way)]
        made = _make(studio, curves, conditions_ND, seeds, CHOICE.count if way == "choice" else 1)
    pairs = [(waveform_T, studio.sound(split, index)) for waveform_T, index in zip(made, indices, strict=True)]
    return Followed(
        np.array([_agreement(*pair, TOLERANCE_S) for pair in pairs], np.float32),
        np.array([_agreement(*pair, NEAR_S) for pair in pairs], np.float32),
        np.array([_correlation(*pair) for pair in pairs], np.float32),
        studio.named(made, studio.generator.sample_rate),
    )


def _make(
    studio: Studio, curves: Sequence[Curve | None], conditions_ND: Floats, seeds: Sequence[int], candidates: int
) -> Floats:
    """A sound for each curve, float32 (N, T); of several candidates the best."""
    groups = [
        [
            Track(conditions_ND[[row]], [_candidate(seed, number)], [0.0], studio.length_s, curve=curve)
            for number in range(candidates)
        ]
        for row, (seed, curve) in enumerate(zip(seeds, curves, strict=True))
    ]
    sounds = studio.generator.generate_tracks([track for group in groups for track in group], OVERLAP_S)
    return np.stack([_best(studio, group, [np.nan_to_num(next(sounds)) for _ in group]) for group in groups])


def _candidate(seed: int, number: int) -> int:
    """The seed of a candidate; the first one has the scene's."""
    return segment_seed(seed, f"candidate {number}", "score") if number else seed


def _best(studio: Studio, tracks: Sequence[Track], sounds: Sequence[Floats]) -> Floats:
    """What `v2a generate` chooses of some candidates."""
    if len(sounds) == 1:
        return sounds[0]
    rate, listener = studio.generator.sample_rate, studio.listener

    def rank(number: int) -> float:
        track, sound_T = tracks[number], sounds[number]
        assert track.curve is not None
        close = listener.similarity(sound_T, rate, track.starts_s, track.conditions_ND)
        return close + CHOICE.timing_weight * keeps_to(track.curve, sound_T, rate)

    return sounds[max(range(len(sounds)), key=rank)]


def _seeds(held_out: HeldOut, indices: Sequence[int]) -> list[int]:
    return [held_out.seeds[index] for index in indices]


def _curve(studio: Studio, split: Split, index: int | None) -> Curve | None:
    return None if index is None else envelope(studio.sound(split, index), SAMPLE_RATE)


def _agreement(made_T: Floats, real_T: Floats, tolerance_s: float) -> float:
    found = onset_agreement(onset_times(made_T, SAMPLE_RATE), onset_times(real_T, SAMPLE_RATE), tolerance_s)
    return np.nan if found is None else found


def _correlation(made_T: Floats, real_T: Floats) -> float:
    levels_2F = np.stack([level(made_T), level(real_T)])
    return float(np.corrcoef(levels_2F)[0, 1]) if levels_2F.std(axis=1).min() > 1e-6 else np.nan
