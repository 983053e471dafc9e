"""A test that was scored, as plain data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from v2a_core.listening.key import Key
from v2a_core.listening.opinion import OpinionScore
from v2a_core.listening.recode import Floats
from v2a_core.listening.scoring.checks import Checked
from v2a_core.listening.scoring.config import ScoringSettings
from v2a_core.listening.scoring.measure import Answered
from v2a_core.listening.scoring.reading import Read
from v2a_core.protocols import JSON
from v2a_core.version import program


@dataclass(frozen=True)
class Scored:
    """Everything that tables, plots and files show.

    Attributes:
        key: Of the test.
        settings: How it was scored.
        read: The files.
        listeners: All listeners and their checks.
        counted: Those whose ratings count.
        answered: Question by question.
    """

    key: Key
    settings: ScoringSettings
    read: Read
    listeners: Sequence[Checked]
    counted: Sequence[Checked]
    answered: Sequence[Answered]

    @property
    def ours(self) -> int:
        """Number of the system that others are compared with."""
        return self.key.systems.index(self.settings.ours or self.key.systems[0])

    def to_dict(self) -> dict[str, JSON]:
        """For JSON; what is not a number is null."""
        told: dict[str, JSON] = {
            "test": self.key.test,
            "program": program(),
            "systems": self.key.systems,
            "ours": self.key.systems[self.ours],
            "items": [item.key for item in self.key.rated],
            "settings": self.settings.model_dump(),
            "listeners": [_listener(checked, checked in self.counted) for checked in self.listeners],
            "left_out": [asdict(found) for found in self.read.left_out],
            "files": self.read.files,
            "questions": {found.question: _question(found, self.key.systems) for found in self.answered},
        }
        return {name: _finite(value) for name, value in told.items()}


def _listener(checked: Checked, counts: bool) -> dict[str, JSON]:
    session = checked.session
    return {
        "listener": session.name,
        "file": session.file,
        "form": session.form,
        "started": session.started,
        "finished": session.finished,
        "ratings": session.rated,
        "counts": counts,
        "failed": list(checked.reasons),
        "headphones": checked.headphones,
        "repeat_difference": checked.repeat_difference,
        "problems": list(session.problems),
    }


def _question(found: Answered, systems: Sequence[str]) -> dict[str, JSON]:
    told: dict[str, JSON] = {"listeners": found.listeners, "ratings": found.ratings}
    if found.reason:
        told["not_measured"] = found.reason
    told["opinions"] = {name: _opinion(score) for name, score in zip(systems, found.opinions, strict=False)}
    told["pairs"] = [
        {**pair._asdict(), "first": systems[pair.first], "second": systems[pair.second], "preference": pair.preference}
        for pair in found.pairs
    ]
    if found.differences is not None:
        found_S = found.differences
        told["jmd"] = _with_intervals(systems, found_S.values_S, found_S.low_S, found_S.high_S)
        told["scale"] = _with_intervals(systems, found_S.scale_S, found_S.scale_low_S, found_S.scale_high_S)
        told["adjacent_categories_agree"] = found_S.agrees
    return told


def _opinion(score: OpinionScore) -> dict[str, JSON]:
    return dict(score._asdict())


def _with_intervals(systems: Sequence[str], values: Floats, low: Floats, high: Floats) -> dict[str, JSON]:
    found = zip(systems, values, low, high, strict=True)
    return {name: {"value": float(v), "low": float(a), "high": float(b)} for name, v, a, b in found}


def _finite(value: JSON) -> JSON:
    """The same with null for what is not a number: JSON has no other word for it."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
