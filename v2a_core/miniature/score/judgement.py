"""From what was heard to lines and orderings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from v2a_core.metrics import frechet
from v2a_core.metrics.accuracy import class_accuracy
from v2a_core.metrics.base import NotMeasuredError, Score
from v2a_core.metrics.correlation import correlation_within
from v2a_core.metrics.intervals import mean
from v2a_core.metrics.similarity import cosine
from v2a_core.miniature.score.config import MetricSettings
from v2a_core.miniature.score.lines import Line, Ordering, worst_part
from v2a_core.miniature.score.studio import Heard
from v2a_core.miniature.score.systems import MAPPERS, PAPER, REGRESSION, HeldOut, Systems, kinds_of
from v2a_core.miniature.world import KINDS, Scene

Indices = npt.NDArray[np.int64]

UNKNOWN = Score(math.nan, math.nan, math.nan, 0)


@dataclass(frozen=True)
class SystemScores:
    """One way of making sound, in all numbers.

    Attributes:
        accuracy: By the judge, by class in `parts`.
        frechet: Between CLAP embeddings of made and real sounds of the same scenes.
        pitch, tempo: Correlation within kinds of what is measured on the waveform with what the scene has.
        heard_pitch, heard_tempo: The same, of what the judge hears.
        condition_frechet: Between the conditions and the CLAP embeddings of the real sounds.
        condition_cosine: Similarity of each condition to the CLAP embedding of its scene's real sound.
    """

    accuracy: Score
    frechet: Score
    pitch: Score
    tempo: Score
    heard_pitch: Score
    heard_tempo: Score
    condition_frechet: Score = UNKNOWN
    condition_cosine: Score = UNKNOWN


def accuracy(kinds_N: Indices, truth_N: Indices, settings: MetricSettings) -> Score:
    """Share of right kinds, by kind in `parts`."""
    return class_accuracy([KINDS[k] for k in kinds_N], [KINDS[k] for k in truth_N], settings.confidence)


def score_system(
    heard: Heard,
    held_out: HeldOut,
    settings: MetricSettings,
    conditions_ND: npt.NDArray[np.float32] | None = None,
) -> SystemScores:
    """All numbers of sounds made for the first scenes.

    Args:
        heard: The N sounds, heard.
        held_out: All scenes.
        settings: Intervals and tolerances.
        conditions_ND: What the sounds were made from, float32 (N, D), L2-normalised; None: of nothing comparable.
    """
    scenes = held_out.scenes[: len(heard)]
    real = held_out.real.embedding_ND
    scores = SystemScores(
        accuracy=accuracy(heard.kinds_N, kinds_of(scenes), settings),
        frechet=_frechet(heard.embedding_ND, real[: len(heard)], settings),
        pitch=_follows(heard.pitch_N, scenes, "pitch", settings),
        tempo=_follows(heard.tempo_N, scenes, "tempo", settings),
        heard_pitch=_follows(heard.attributes_N3[:, 0], scenes, "pitch", settings),
        heard_tempo=_follows(heard.attributes_N3[:, 1], scenes, "tempo", settings),
    )
    if conditions_ND is None:
        return scores
    return replace(
        scores,
        condition_frechet=_frechet(conditions_ND, real, settings),
        condition_cosine=mean(cosine(conditions_ND, real), settings),
    )


def score_systems(systems: Systems, held_out: HeldOut, settings: MetricSettings) -> dict[str, SystemScores]:
    """All systems, the real sounds first."""
    found = {"real sound": score_system(held_out.real, held_out, settings)}
    for name, heard in systems.made.items():
        found[name] = score_system(heard, held_out, settings, systems.conditions.get(name))
    return found


def compare(systems: Systems, held_out: HeldOut, settings: MetricSettings, count: int) -> dict[str, SystemScores]:
    """The mappers on the same first `count` scenes: numbers of few and of many sounds cannot be compared."""
    rows = np.arange(count)
    return {name: score_system(systems.made[name].take(rows), held_out, settings) for name in MAPPERS}


def must_hold(scores: dict[str, SystemScores], stills: Score, clip: Score, clap: Score, seconds: Score) -> list[Line]:
    """The numbers that have targets."""
    vae, mapped, regression = scores["VAE and vocoder"], scores[PAPER], scores[REGRESSION]
    return [
        Line("judge_real", "judge on real sounds", scores["real sound"].accuracy, 0.98),
        Line("clip_zero_shot", "CLIP zero-shot class", clip, 0.97),
        Line("clap_zero_shot", "CLAP zero-shot class", clap, 0.97),
        Line("vae_vocoder", "real sound through VAE and vocoder", vae.accuracy, 0.96),
        _worst("vae_vocoder", "the same", vae, 0.85),
        Line("made_true", "made from true CLAP embeddings", scores["true embedding"].accuracy, 0.95),
        Line("made_diffusion", "made through the diffusion Transformer", mapped.accuracy, 0.93),
        _worst("made_diffusion", "the same", mapped, 0.75),
        Line("made_regression", "made through the regression Transformer", regression.accuracy, 0.93),
        _worst("made_regression", "the same", regression, 0.75),
        Line("made_text", "made via text (captions)", scores["text"].accuracy, 0.88),
        Line("made_no_mapper", "made without a mapper", scores["no mapper"].accuracy, 0.20, at_most=True),
        Line("pitch", "pitch correlation of mapped vision, on the waveform", mapped.pitch, 0.6),
        Line("tempo", "tempo correlation of mapped vision, on the waveform", mapped.tempo, 0.4),
        Line("stills", "stills in the other drawing style, with mapper", stills, 0.70),
        Line("seconds", "seconds to make one clip (median of several)", seconds, 3.0, at_most=True),
    ]


def orderings(scores: dict[str, SystemScores], compared: dict[str, SystemScores]) -> list[Ordering]:
    """What the paper found (its tables of V2A methods, mappers and aggregators), in small."""
    ways = {PAPER: "mapper", "text": "text", "no mapper": "no mapper"}
    kinds = ("diffusion Transformer", "diffusion MLP", "regression Transformer", "regression MLP")
    frames = {PAPER: "average", "random frame": "random", "middle frame": "middle"}
    by_way = {title: scores[name] for name, title in ways.items()}
    by_kind = {name: compared[name] for name in kinds}
    by_frame = {title: compared[name] for name, title in frames.items()}
    all_kinds = {name: scores[name] for name in kinds}
    all_frames = {title: scores[name] for name, title in frames.items()}
    made, mapped = "Fréchet distance of made sounds", "Fréchet distance of the embeddings themselves"
    return [
        Ordering("class accuracy", {name: s.accuracy for name, s in by_way.items()}, "higher"),
        Ordering(made, {name: s.frechet for name, s in by_way.items()}, "lower"),
        Ordering(mapped, {name: s.condition_frechet for name, s in by_way.items()}, "lower"),
        Ordering(made, {name: s.frechet for name, s in by_kind.items()}, "lower"),
        Ordering(mapped, {name: s.condition_frechet for name, s in all_kinds.items()}, "lower"),
        Ordering(made, {name: s.frechet for name, s in by_frame.items()}, "lower"),
        Ordering(mapped, {name: s.condition_frechet for name, s in all_frames.items()}, "lower"),
        Ordering("class accuracy", {name: s.accuracy for name, s in by_frame.items()}, "higher"),
    ]


def _worst(name: str, title: str, scores: SystemScores, target: float) -> Line:
    kind, score = worst_part(scores.accuracy)
    return Line(f"{name}_worst", f"{title}, worst class ({kind})", score, target)


def _frechet(first_ND: npt.NDArray[np.float32], second_ND: npt.NDArray[np.float32], settings: MetricSettings) -> Score:
    return frechet.score(first_ND, second_ND, settings, settings.frechet_resamples)


def _follows(
    values_N: npt.NDArray[np.float32], scenes: Sequence[Scene], attribute: str, settings: MetricSettings
) -> Score:
    known = np.flatnonzero(np.isfinite(values_N))
    truth = np.array([getattr(scenes[row].seen, attribute) for row in known])
    try:
        return correlation_within(values_N[known], truth, [scenes[row].kind for row in known], settings)
    except NotMeasuredError:
        return UNKNOWN
