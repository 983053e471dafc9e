"""How closely sounds follow a curve: that of their scene's real sound, predicted ones, that of another scene, or none.

Shapes: N scenes, D numbers of an embedding, T samples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from v2a_core.media.log_mel import SAMPLE_RATE
from v2a_core.metrics.base import Score
from v2a_core.metrics.extractors.onsets import onset_times
from v2a_core.metrics.intervals import mean
from v2a_core.metrics.onsets import onset_agreement
from v2a_core.miniature.score.config import MetricSettings, ScoreSettings
from v2a_core.miniature.score.judgement import UNKNOWN, accuracy
from v2a_core.miniature.score.lines import Line
from v2a_core.miniature.score.studio import Crew, Studio, chunks
from v2a_core.miniature.score.systems import HeldOut, kinds_of
from v2a_core.miniature.world import KINDS, Scene
from v2a_core.miniature.world.canvas import Style
from v2a_core.miniature.world.scenes import Split
from v2a_core.protocols import Curve, Floats, Track
from v2a_core.timing.envelope import envelope, level

TOLERANCE_S, NEAR_S = 0.1, 0.05
OVERLAP_S = 0.0  # sounds of one segment
GIVEN = ("free", "own", "other")
# Curves that are predicted from the pictures: by which predictor, and how these are drawn.
PREDICTED: dict[str, tuple[str, Style]] = {
    "predicted": ("gru", "paint"), "ink": ("gru", "ink"), "motion": ("motion", "paint"),
}  # fmt: skip
# Kinds whose events are heard one by one, which a sound can be in time with.
EVENTS = ("bouncing ball", "bell", "clock", "drum", "laser", "birds", "engine")


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
    for way in (*GIVEN, *(way for way, (predictor, _) in PREDICTED.items() if predicts or predictor == "motion")):
        items = [
            (settings.split, part, count, way, conditions_ND[part], _seeds(held_out, part))
            for part in chunks(range(count))
        ]
        parts = crew.each(follow, items)
        arrays = (np.concatenate([getattr(p, f.name) for p in parts]) for f in dataclasses.fields(Followed))
        found[way] = Followed(*arrays)
    return found


def others_of(indices: Sequence[int], count: int, way: str) -> list[int | None]:
    """Whose curve each scene's sound follows: its own, that of the next scene of its kind, or nobody's.

    Args:
        indices: Of the scenes.
        count: Of those that are scored; the kinds take turns in them.
        way: Of `GIVEN`.
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
    curves: list[Curve | None]
    if way in PREDICTED:
        curves = [*studio.predict(split, indices, *PREDICTED[way])]
    else:
        curves = [_curve(studio, split, other) for other in others_of(indices, count, way)]
    tracks = [
        Track(conditions_ND[[row]], [seed], [0.0], studio.length_s, curve=curve)
        for row, (seed, curve) in enumerate(zip(seeds, curves, strict=True))
    ]
    made = np.stack([np.nan_to_num(waveform_T) for waveform_T in studio.generator.generate_tracks(tracks, OVERLAP_S)])
    pairs = [(waveform_T, studio.sound(split, index)) for waveform_T, index in zip(made, indices, strict=True)]
    return Followed(
        np.array([_agreement(*pair, TOLERANCE_S) for pair in pairs], np.float32),
        np.array([_agreement(*pair, NEAR_S) for pair in pairs], np.float32),
        np.array([_correlation(*pair) for pair in pairs], np.float32),
        studio.named(made, studio.generator.sample_rate),
    )


def must_follow(followed: Mapping[str, Followed], scenes: Sequence[Scene], settings: MetricSettings) -> list[Line]:
    """The numbers that have targets, and those they are compared with."""
    told = _Told(followed, kinds_of(scenes[: len(followed["own"].kinds_N)]), settings)
    own, predicted = "with the real sound's curve", "with a predicted curve"
    free = told.kinds("free", "without a curve")
    lines = [
        told.onsets("free", "without a curve"),
        told.onsets("own", own, 0.82),
        told.events("own", own, 0.88),
        told.onsets("other", "with that of another of its kind", 0.52, at_most=True),
        told.levels("own", own, 0.60),
        free,
        told.kinds("own", own, free.score.low),
    ]
    if "motion" in followed:
        lines += [told.onsets("motion", "with a curve of motion alone"), told.levels("motion", "with that")]
    if "predicted" in followed:
        lines += [
            told.onsets("predicted", predicted, 0.77),
            told.events("predicted", predicted, 0.84),
            told.near("predicted", predicted, 0.70),
            told.onsets("ink", f"{predicted}, in the other drawing style", 0.65),
            told.levels("predicted", predicted, 0.55),
            told.kinds("predicted", predicted, free.score.low),
        ]
    return lines


@dataclass(frozen=True)
class _Told:
    """Lines of what was measured.

    Attributes:
        followed: By the way in which a curve was given.
        truth_N: Index of the kind of each scene.
        settings: Intervals.
    """

    followed: Mapping[str, Followed]
    truth_N: npt.NDArray[np.int64]
    settings: MetricSettings

    def onsets(self, way: str, title: str, target: float | None = None, at_most: bool = False) -> Line:
        score = self._mean(self.followed[way].agreement_N)
        return Line(f"onsets_{way}", f"onset F1 {title}", score, target, at_most)

    def events(self, way: str, title: str, target: float) -> Line:
        score = self._mean(self.followed[way].agreement_N, EVENTS)
        return Line(f"onsets_{way}_events", f"the same of kinds with single events, {title}", score, target)

    def near(self, way: str, title: str, target: float) -> Line:
        score = self._mean(self.followed[way].near_N)
        return Line(f"onsets_{way}_near", f"onset F1 within {1000 * NEAR_S:.0f} ms {title}", score, target)

    def levels(self, way: str, title: str, target: float | None = None) -> Line:
        score = self._mean(self.followed[way].correlation_N)
        return Line(f"level_{way}", f"correlation of levels {title}", score, target)

    def kinds(self, way: str, title: str, target: float | None = None) -> Line:
        score = accuracy(self.followed[way].kinds_N, self.truth_N, self.settings)
        return Line(f"class_{way}", f"class {title}", score, target)

    def _mean(self, values_N: Floats, kinds: Sequence[str] = KINDS) -> Score:
        """Mean over scenes of some kinds, with that of each kind in `parts`."""
        known_N, settings = np.isfinite(values_N), self.settings
        of_kind = {kind: values_N[known_N & (self.truth_N == KINDS.index(kind))] for kind in kinds}
        parts = {kind: mean(found.astype(np.float64), settings) for kind, found in of_kind.items() if len(found)}
        if not parts:
            return UNKNOWN
        wanted_N = known_N & np.isin(self.truth_N, [KINDS.index(kind) for kind in kinds])
        return replace(mean(values_N[wanted_N].astype(np.float64), settings), parts=parts)


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
