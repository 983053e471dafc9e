"""How well the onsets of two sounds agree: F1 of a one-to-one matching within a tolerance.

Shapes: M and N onsets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from v2a_core.config import Settings, setting
from v2a_core.metrics import METRICS
from v2a_core.metrics.base import SHARE, Rows, Score, Span, complete
from v2a_core.metrics.config import IntervalSettings
from v2a_core.metrics.intervals import mean

Floats = npt.NDArray[np.float64]


class OnsetSettings(Settings):
    """How near is near enough."""

    tolerance_s: float = setting(
        0.1, "largest distance of two onsets that are taken for the same", unit="s", gt=0, le=1
    )


def match_onsets(first_M: Sequence[float] | Floats, second_N: Sequence[float] | Floats, tolerance_s: float) -> int:
    """The most pairs of onsets that can be formed within the tolerance, each onset in one pair at most."""
    first, second = np.sort(np.asarray(first_M, np.float64)), np.sort(np.asarray(second_N, np.float64))
    pairs = i = j = 0
    # On sorted times, taking the earliest possible partner each time is a maximum matching.
    while i < len(first) and j < len(second):
        if abs(first[i] - second[j]) <= tolerance_s + 1e-9:
            pairs, i, j = pairs + 1, i + 1, j + 1
        elif first[i] < second[j]:
            i += 1
        else:
            j += 1
    return pairs


def by_content(made: Sequence[Any], reference: Sequence[Any]) -> list[int]:
    """The places of rows in the order of their onsets: ascending as lists of numbers are."""

    def key(row: int) -> tuple[bytes, ...]:
        # Of times from 0 on, the bytes stand in the order of the numbers, and take little room.
        return tuple(np.asarray(side[row], ">f8").tobytes() for side in (made, reference))

    return sorted(range(len(made)), key=key)


def onset_agreement(
    made_M: Sequence[float] | Floats, reference_N: Sequence[float] | Floats, tolerance_s: float
) -> float | None:
    """F1 of made onsets against reference onsets, 0..1; None when neither sound has any."""
    total = len(made_M) + len(reference_N)
    return 2 * match_onsets(made_M, reference_N, tolerance_s) / total if total else None


class OnsetAgreement:
    """Mean F1 of the onsets of made sounds and their references.

    Many onsets hit others by chance: `chance` is the agreement with the references of other rows.

    Args:
        settings: The tolerance.
    """

    title = "Onset agreement (F1)"
    better: Literal["higher", "lower"] = "higher"
    span: Span = SHARE
    needs = ("onsets_s", "reference_onsets_s")

    def __init__(self, settings: OnsetSettings) -> None:
        self._tolerance_s = settings.tolerance_s

    def compute(self, rows: Rows, intervals: IntervalSettings) -> Score:
        """Mean, bootstrap interval, chance."""
        made, reference = complete(rows, self.needs)
        order = by_content(made, reference)  # so that the order of the rows does not matter
        made, reference = [made[row] for row in order], [reference[row] for row in order]
        shuffled = np.random.default_rng(intervals.seed).permutation(len(made))
        others = [reference[shuffled[(place + 1) % len(made)]] for place in np.argsort(shuffled)]
        tolerance_s = self._tolerance_s
        found = _defined([onset_agreement(a, b, tolerance_s) for a, b in zip(made, reference, strict=True)])
        by_chance = _defined([onset_agreement(a, b, tolerance_s) for a, b in zip(made, others, strict=True)])
        chance = float(by_chance.mean()) if len(made) > 1 and len(by_chance) else None
        return mean(found if len(found) else np.zeros(1), intervals, chance)


def _defined(values: Sequence[float | None]) -> Floats:
    return np.array([value for value in values if value is not None])


METRICS.add("onset_agreement", OnsetAgreement, OnsetSettings)
