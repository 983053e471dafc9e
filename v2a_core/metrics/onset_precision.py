"""Onset accuracy and average precision: whether a made sound begins something where its reference does.

Each onset of the reference, in order, takes the most confident onset of the made sound that is less than 0.3 s away and
not taken yet. Accuracy is the share of the reference's onsets that find one; average precision also punishes onsets
that nobody takes, by how confident they are. An onset's confidence is the highest sample around it. Source: Y. Du et
al., Conditional Generation of Audio from Video via Foley Analogies (CondFoley), CVPR 2023, arXiv 2304.08490, with the
window that MMAudio uses; the onsets are those of `extractors.onsets`, not librosa's.

Shapes: M onsets of a made sound, N of its reference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from v2a_core.config import Settings, setting
from v2a_core.metrics import METRICS
from v2a_core.metrics.base import SHARE, NotMeasuredError, Rows, Score, Span, complete
from v2a_core.metrics.config import IntervalSettings
from v2a_core.metrics.intervals import mean
from v2a_core.metrics.onsets import by_content

Floats = npt.NDArray[np.float64]
Times = Sequence[float] | Floats


class WindowSettings(Settings):
    """How near is near enough."""

    window_s: float = setting(0.3, "an onset counts for one of the reference that is nearer than this", unit="s", gt=0)


def matches(made_M: Times, confidence_M: Times, reference_N: Times, window_s: float) -> list[float]:
    """The confidence of what each onset of the reference takes, 0 where it takes nothing; N of them."""
    left = list(range(len(made_M)))
    found = []
    for onset in sorted(float(onset) for onset in reference_N):
        near = [number for number in left if abs(made_M[number] - onset) < window_s]
        best = max(near, key=lambda number: (confidence_M[number], -number), default=None)
        if best is None:
            found.append(0.0)
            continue
        left.remove(best)
        found.append(float(confidence_M[best]))
    return found


def onset_accuracy(made_M: Times, confidence_M: Times, reference_N: Times, window_s: float) -> float | None:
    """Share of the reference's onsets that the made sound has, 0..1; None when it has none."""
    found = matches(made_M, confidence_M, reference_N, window_s)
    return sum(confidence > 0 for confidence in found) / len(found) if found else None


def onset_average_precision(made_M: Times, confidence_M: Times, reference_N: Times, window_s: float) -> float | None:
    """Area under precision over recall, 0..1, as confidence falls; None when the reference has no onset."""
    found = matches(made_M, confidence_M, reference_N, window_s)
    if not found:
        return None
    taken = sorted(confidence for confidence in found if confidence > 0)
    extra = sorted(float(confidence) for confidence in confidence_M)
    for confidence in taken:
        extra.remove(confidence)
    scores = np.array([*found, *extra])
    is_onset = np.arange(len(scores)) < len(found)
    return average_precision(is_onset, scores)


def average_precision(is_right: npt.NDArray[np.bool_], scores: Floats) -> float:
    """Sum over falling thresholds of precision times the recall that is won; equal scores come together.

    Args:
        is_right: Whether each item is one that is looked for; at least one is.
        scores: How sure the detection is.
    """
    order = np.argsort(-scores, kind="stable")
    hits, ends = np.cumsum(is_right[order]), np.flatnonzero(np.diff(scores[order], append=-np.inf))
    precision, recall = hits[ends] / (ends + 1), hits[ends] / is_right.sum()
    return float((np.diff(recall, prepend=0.0) * precision).sum())


class OnsetDetection:
    """The mean over rows whose reference has onsets.

    Many onsets hit others by chance: `chance` is what rows get with the references of other rows.

    Args:
        settings: The window.
    """

    title: str
    better: Literal["higher", "lower"] = "higher"
    span: Span = SHARE
    needs = ("onsets_s", "onset_confidence", "reference_onsets_s")
    measure: Callable[[Times, Times, Times, float], float | None]

    def __init__(self, settings: WindowSettings) -> None:
        self._window_s = settings.window_s

    def compute(self, rows: Rows, intervals: IntervalSettings) -> Score:
        """Mean, bootstrap interval, chance."""
        made, confidence, reference = complete(rows, self.needs)
        order = by_content(made, reference)
        found = self._values([(made[row], confidence[row], reference[row]) for row in order])
        if not len(found):
            raise NotMeasuredError("no reference has an onset")
        shuffled = np.random.default_rng(intervals.seed).permutation(len(made))
        others = [order[shuffled[(place + 1) % len(made)]] for place in np.argsort(shuffled)]
        pairs = [(made[row], confidence[row], reference[other]) for row, other in zip(order, others, strict=True)]
        by_chance = self._values(pairs)
        chance = float(by_chance.mean()) if len(made) > 1 and len(by_chance) else None
        return mean(found, intervals, chance)

    def _values(self, rows: Sequence[tuple[Times, Times, Times]]) -> Floats:
        # As numbers of Python, one row at a time: loops over those are quicker, and all of them at once are large.
        lists = ([np.asarray(side).tolist() for side in row] for row in rows)
        found = [
            type(self).measure(made, confidence, reference, self._window_s) for made, confidence, reference in lists
        ]
        return np.array([value for value in found if value is not None])


class OnsetAccuracy(OnsetDetection):
    """Share of the references' onsets that are found."""

    title = "Onset accuracy"
    measure = staticmethod(onset_accuracy)


class OnsetAveragePrecision(OnsetDetection):
    """Average precision of the made sounds' onsets."""

    title = "Onset average precision"
    measure = staticmethod(onset_average_precision)


METRICS.add("onset_accuracy", OnsetAccuracy, WindowSettings)
METRICS.add("onset_average_precision", OnsetAveragePrecision, WindowSettings)
