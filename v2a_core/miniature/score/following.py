"""How closely sounds follow a curve: that of their scene's real sound, that of another scene, or none.

Shapes: N scenes, D numbers of an embedding, T samples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from v2a_core.media.log_mel import SAMPLE_RATE
from v2a_core.metrics.base import Score
from v2a_core.metrics.extractors.onsets import onset_times
from v2a_core.metrics.intervals import mean
from v2a_core.metrics.onsets import onset_agreement
from v2a_core.miniature.score.config import MetricSettings, ScoreSettings
from v2a_core.miniature.score.judgement import accuracy
from v2a_core.miniature.score.lines import Line
from v2a_core.miniature.score.studio import Crew, Studio, chunks
from v2a_core.miniature.score.systems import HeldOut, kinds_of
from v2a_core.miniature.world import KINDS, Scene
from v2a_core.miniature.world.scenes import Split
from v2a_core.protocols import Curve, Floats, Track
from v2a_core.timing.envelope import envelope, level

TOLERANCE_S = 0.1
OVERLAP_S = 0.0  # sounds of one segment
WAYS = ("free", "own", "other")


@dataclass(frozen=True)
class Followed:
    """N made sounds beside the real ones of their scenes.

    Attributes:
        agreement_N: F1 of the onsets; NaN where neither has any.
        correlation_N: Of their levels over time; NaN where one of them is constant.
        kinds_N: Index of the kind that the judge names.
    """

    agreement_N: Floats
    correlation_N: Floats
    kinds_N: npt.NDArray[np.int64]


def follow_all(crew: Crew, held_out: HeldOut, settings: ScoreSettings) -> dict[str, Followed]:
    """The first scenes in each of the ways, from the embeddings of their real sounds."""
    count = min(settings.follow_per_class * len(KINDS), len(held_out.scenes))
    found = {}
    for way in WAYS:
        items = [
            (
                settings.split,
                part,
                others_of(part, count, way),
                held_out.real.embedding_ND[part],
                _seeds(held_out, part),
            )
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
        way: Of `WAYS`.
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
    others: Sequence[int | None],
    conditions_ND: Floats,
    seeds: Sequence[int],
) -> Followed:
    """Make a sound for each scene, and compare it with the real one."""
    tracks = [
        Track(conditions_ND[[row]], [seed], [0.0], studio.length_s, curve=_curve(studio, split, other))
        for row, (seed, other) in enumerate(zip(seeds, others, strict=True))
    ]
    made = np.stack([np.nan_to_num(waveform_T) for waveform_T in studio.generator.generate_tracks(tracks, OVERLAP_S)])
    pairs = [(waveform_T, studio.sound(split, index)) for waveform_T, index in zip(made, indices, strict=True)]
    return Followed(
        np.array([_agreement(*pair) for pair in pairs], np.float32),
        np.array([_correlation(*pair) for pair in pairs], np.float32),
        studio.named(made, studio.generator.sample_rate),
    )


def must_follow(followed: Mapping[str, Followed], scenes: Sequence[Scene], settings: MetricSettings) -> list[Line]:
    """The numbers that have targets."""
    own = followed["own"]
    truth_N = kinds_of(scenes[: len(own.kinds_N)])
    onsets = {way: _mean(item.agreement_N, settings) for way, item in followed.items()}
    return [
        Line("onsets_free", "onset F1 without a curve", onsets["free"]),
        Line("onsets_own", "onset F1 with the real sound's curve", onsets["own"], 0.80),
        Line("onsets_other", "onset F1 with that of another of its kind", onsets["other"], 0.52, at_most=True),
        Line(
            "level_own", "correlation of levels with the real sound's curve", _mean(own.correlation_N, settings), 0.60
        ),
        Line("class_own", "class with the real sound's curve", accuracy(own.kinds_N, truth_N, settings), 0.95),
    ]


def _seeds(held_out: HeldOut, indices: Sequence[int]) -> list[int]:
    return [held_out.seeds[index] for index in indices]


def _curve(studio: Studio, split: Split, index: int | None) -> Curve | None:
    return None if index is None else envelope(studio.sound(split, index), SAMPLE_RATE)


def _agreement(made_T: Floats, real_T: Floats) -> float:
    found = onset_agreement(onset_times(made_T, SAMPLE_RATE), onset_times(real_T, SAMPLE_RATE), TOLERANCE_S)
    return np.nan if found is None else found


def _correlation(made_T: Floats, real_T: Floats) -> float:
    levels_2F = np.stack([level(made_T), level(real_T)])
    return float(np.corrcoef(levels_2F)[0, 1]) if levels_2F.std(axis=1).min() > 1e-6 else np.nan


def _mean(values_N: Floats, settings: MetricSettings) -> Score:
    return mean(values_N[np.isfinite(values_N)].astype(np.float64), settings)
