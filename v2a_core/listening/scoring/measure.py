"""What counted ratings say, question by question.

Shapes: L listeners, I items, S systems.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from v2a_core.listening.differences import Differences, just_meaningful_differences
from v2a_core.listening.key import Key
from v2a_core.listening.opinion import OpinionScore, opinion_scores
from v2a_core.listening.pairs import Pair, compare_pairs
from v2a_core.listening.questions import POINTS
from v2a_core.listening.recode import Floats
from v2a_core.listening.scoring.config import ScoringSettings
from v2a_core.listening.scoring.sessions import Session


@dataclass(frozen=True)
class Answered:
    """What was answered to one question.

    Attributes:
        question: Its name.
        listeners: How many gave a rating.
        ratings: How many there are.
        opinions: Of each system; empty where not every system was rated.
        pairs: Of every two systems.
        differences: Just meaningful differences and scale values; None for fewer than two systems.
        reason: Why something is missing; empty when nothing is.
    """

    question: str
    listeners: int
    ratings: int
    opinions: tuple[OpinionScore, ...] = ()
    pairs: tuple[Pair, ...] = ()
    differences: Differences | None = None
    reason: str = ""


def ratings_of(sessions: Sequence[Session], key: Key, question: str) -> Floats:
    """Ratings, float64 (L, I, S), NaN where there is none; of an item that was shown twice, the first ones."""
    items = key.rated
    places = {
        stimulus.id: (item, key.systems.index(stimulus.system))
        for item, found in enumerate(items)
        for stimulus in found.stimuli
    }
    ratings_LIS = np.full((len(sessions), len(items), len(key.systems)), np.nan)
    for listener, session in enumerate(sessions):
        for take in session.takes:
            if not take.repeat and question in take.ratings:
                ratings_LIS[(listener, *places[take.stimulus])] = take.ratings[question]
    return ratings_LIS


def measure(ratings_LIS: Floats, question: str, ours: int, settings: ScoringSettings) -> Answered:
    """Scores, comparisons and scale values of one question.

    Args:
        ratings_LIS: From `ratings_of`.
        question: Its name.
        ours: The system that others are compared with.
        settings: Intervals, and what counts as a step.
    """
    known = np.isfinite(ratings_LIS)
    answered = Answered(question, int(known.any(axis=(1, 2)).sum()), int(known.sum()))
    if not known.any(axis=(0, 1)).all():
        return replace(answered, reason="some system was not rated at all")
    resamples, confidence, seed = settings.resamples, settings.confidence, settings.seed
    opinions = opinion_scores(ratings_LIS, resamples=resamples, confidence=confidence, seed=seed)
    answered = replace(answered, opinions=tuple(opinions))
    if ratings_LIS.shape[2] < 2:
        return replace(answered, reason="there is one system, so that nothing can be compared")
    pairs = compare_pairs(ratings_LIS, resamples=resamples, confidence=confidence, seed=seed)
    differences = just_meaningful_differences(
        ratings_LIS,
        ours,
        points=POINTS,
        graded=settings.graded,
        unit=settings.jmd_unit,
        resamples=resamples,
        confidence=confidence,
        seed=seed,
    )
    return replace(answered, pairs=tuple(pairs), differences=differences)
