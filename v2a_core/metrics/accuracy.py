"""Class accuracy: how often an independent judge hears the class that the catalog names."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from v2a_core.metrics import METRICS
from v2a_core.metrics.base import SHARE, Rows, Score, Span, complete
from v2a_core.metrics.config import IntervalSettings
from v2a_core.metrics.intervals import wilson


def class_accuracy(verdicts: Sequence[str], labels: Sequence[str], confidence: float = 0.95) -> Score:
    """The share of right verdicts with Wilson's interval, and the same for each label (in `parts`)."""
    hits: dict[str, list[bool]] = {}
    for verdict, label in zip(verdicts, labels, strict=True):
        hits.setdefault(label, []).append(verdict == label)
    parts = {label: wilson(sum(right), len(right), confidence) for label, right in sorted(hits.items())}
    whole = wilson(sum(sum(right) for right in hits.values()), len(labels), confidence)
    return Score(whole.value, whole.low, whole.high, whole.count, parts=parts)


@dataclass(frozen=True)
class ClassAccuracy:
    """Share of rows whose verdict is their class.

    Attributes:
        title: What a table calls it.
        column: The column of verdicts.
    """

    title: str
    column: str
    better: Literal["higher", "lower"] = "higher"
    span: Span = SHARE

    @property
    def needs(self) -> tuple[str, ...]:
        """Verdict and class; a label that the judge does not know is no class (null)."""
        return (self.column, "judged_class")

    def compute(self, rows: Rows, intervals: IntervalSettings) -> Score:
        """Share with Wilson's interval, by class in `parts`."""
        verdicts, labels = complete(rows, self.needs)
        return class_accuracy(verdicts, labels, intervals.confidence)


METRICS.add("class_accuracy", functools.partial(ClassAccuracy, "Class accuracy by the judge", "verdict"))
METRICS.add(
    "class_accuracy_reference",
    functools.partial(ClassAccuracy, "Class accuracy of the references", "reference_verdict"),
)
