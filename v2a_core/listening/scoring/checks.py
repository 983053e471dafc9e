"""Which listeners fail a check, and why: those who did not listen as they were asked to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from v2a_core.listening.key import Key
from v2a_core.listening.scoring.config import ScoringSettings
from v2a_core.listening.scoring.sessions import Session, Take

_STRAIGHT_ITEMS = 3  # alike ratings of fewer items may be meant
_HEARD_SHARE = 0.8  # of a sound's length, of what the page says was heard to its end


@dataclass(frozen=True)
class Checked:
    """A listener and the checks.

    Attributes:
        session: The listener.
        reasons: Which checks failed, as sentences; empty when all is well.
        headphones: Share of right trials; None where nobody asked.
        repeat_difference: Mean absolute difference of ratings of repeated items, points; None without any.
    """

    session: Session
    reasons: tuple[str, ...]
    headphones: float | None
    repeat_difference: float | None


def check(session: Session, key: Key, settings: ScoringSettings) -> Checked:
    """Check one listener.

    Args:
        session: The answers.
        key: Of the test.
        settings: The limits.
    """
    headphones, repeats = _headphones(session, key), _repeat_difference(session)
    reasons: list[str] = []
    if headphones is not None and headphones < settings.headphones_least:
        right = round(headphones * len(key.headphones))
        reasons.append(f"{right} of {len(key.headphones)} headphone trials are right")
    if session.device == "loudspeakers":
        reasons.append("listened through loudspeakers")
    reasons += _rated_too_few(session, key, settings)
    reasons += _straight(session, key)
    if repeats is not None and repeats > settings.repeat_most:
        reasons.append(f"ratings of repeated items differ by {repeats:.1f} points in the mean")
    unheard = _unheard(session, key)
    if unheard:
        reasons.append(f"{unheard} of {len(session.takes)} sounds were not heard to their end")
    return Checked(session, tuple(reasons), headphones, repeats)


def _headphones(session: Session, key: Key) -> float | None:
    if session.headphones is None or not key.headphones:
        return None
    given = [*session.headphones, *[None] * len(key.headphones)]
    return sum(said == right for said, right in zip(given, key.headphones, strict=False)) / len(key.headphones)


def _rated_too_few(session: Session, key: Key, settings: ScoringSettings) -> list[str]:
    asked = sum(len(item.stimuli) for item in key.rated) * len(key.questions)
    rated = sum(len(take.ratings) for take in session.takes if not take.repeat)
    return [f"rated {rated} of {asked}"] if rated < settings.rated_least * asked else []


def _straight(session: Session, key: Key) -> list[str]:
    """Questions to which everything got the same answer."""
    if len(key.rated) < _STRAIGHT_ITEMS:
        return []
    reasons = []
    for question in key.questions:
        given = [take.ratings[question] for take in session.takes if question in take.ratings]
        if len(given) > _STRAIGHT_ITEMS and len(set(given)) == 1:
            reasons.append(f"gave every sound {given[0]} for {question}")
    return reasons


def _repeat_difference(session: Session) -> float | None:
    first = {take.stimulus: take.ratings for take in session.takes if not take.repeat}
    again = {take.stimulus: take.ratings for take in session.takes if take.repeat}
    differences = [
        abs(points - first[name][question])
        for name, ratings in again.items()
        for question, points in ratings.items()
        if question in first.get(name, {})
    ]
    return fmean(differences) if differences else None


def _unheard(session: Session, key: Key) -> int:
    """How many rated sounds the page says were not heard; none where that is not known."""
    lengths = {stimulus.id: item.length_s for item in key.items for stimulus in item.stimuli}
    return sum(_was_not_heard(take, lengths) for take in session.takes if take.ratings)


def _was_not_heard(take: Take, lengths: Mapping[str, float]) -> bool:
    if take.failed or take.plays is None or take.played_s is None:
        return False
    return take.plays < 1 or take.played_s < _HEARD_SHARE * lengths[take.stimulus]
