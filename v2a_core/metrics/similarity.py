"""Cosine similarity of a made sound's CLAP embedding to what it should be like."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from v2a_core.metrics import METRICS
from v2a_core.metrics.base import COSINE, Array, Rows, Score, Span, complete
from v2a_core.metrics.config import IntervalSettings
from v2a_core.metrics.intervals import mean


def cosine(first_ND: Array, second_ND: Array) -> npt.NDArray[np.float64]:
    """Cosine of the angle between the rows of two arrays (N, D), float64 (N,); NaN for a row of zeros."""
    first, second = np.asarray(first_ND, np.float64), np.asarray(second_ND, np.float64)
    norms = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines: npt.NDArray[np.float64] = (first * second).sum(axis=-1) / norms
    return np.clip(cosines, -1, 1)


@dataclass(frozen=True)
class MeanSimilarity:
    """The mean over rows of one similarity column, -1..1.

    Attributes:
        title: What a table calls it.
        column: The column of similarities.
    """

    title: str
    column: str
    better: Literal["higher", "lower"] = "higher"
    span: Span = COSINE

    @property
    def needs(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    def compute(self, rows: Rows, intervals: IntervalSettings) -> Score:
        """Mean and bootstrap interval."""
        (values,) = complete(rows, self.needs)
        return mean(np.array(values), intervals)


for _to in ("condition", "caption", "reference"):
    METRICS.add(
        f"clap_similarity_{_to}",
        functools.partial(MeanSimilarity, f"CLAP similarity to the {_to}", f"similarity_to_{_to}"),
    )
