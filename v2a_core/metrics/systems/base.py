"""What every metric of sets is to the job that computes it, and the number that it gives.

Shapes: G groups of sources.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from v2a_core.config import Settings, setting
from v2a_core.metrics.base import ANY, NotMeasuredError, Score, Span
from v2a_core.metrics.jackknife import GROUPS, interval, jackknife, paired_difference, student_quantile
from v2a_core.metrics.systems.features import Features

Floats = npt.NDArray[np.float64]


class SetSettings(Settings):
    """How metrics of whole sets are computed."""

    most_rows: int = setting(
        20_000, "rows of a set that KAD and the extrapolation of FD take at most; drawn by a hash of the source", ge=500
    )
    seed: int = setting(0, "seed of what is drawn", ge=0)


@dataclass(frozen=True)
class Heard:
    """What networks found out about a system's sounds and about the references.

    Attributes:
        made: Of the system, by the metric's extractor.
        reference: Of the references; None: there are none.
        frames: The mean of CLIP's normalised embeddings of each video's frames; None: there are none.
        silence: What the extractor says of silence, by column, (rows, D).
        settings: Of metrics of sets.
        videos: What the extractor of videos that belongs to it says of the references'; None: nobody looked.
    """

    made: Features
    reference: Features | None
    frames: Features | None
    silence: Mapping[str, npt.NDArray[np.float32]]
    settings: SetSettings
    videos: Features | None = None

    def references(self) -> Features:
        """The references.

        Raises:
            NotMeasuredError: When there are none.
        """
        if self.reference is None or not self.reference.keys:
            raise NotMeasuredError("there are no references to compare with")
        return self.reference


class ValueOfEach(Mapping[str, float]):
    """A value a sound, by its key: two numbers of eight bytes each, where a dictionary takes a hundred and thirty.

    Args:
        keys: Of the sounds, ascending.
        values_N: As many values.
    """

    def __init__(self, keys: Sequence[str] = (), values_N: Floats | None = None) -> None:
        self.keys_N, self.values_N = list(keys), np.zeros(0) if values_N is None else np.asarray(values_N, np.float64)
        if len(self.keys_N) != len(self.values_N):
            raise ValueError(f"{len(self.keys_N)} sounds and {len(self.values_N)} values")

    def __getitem__(self, key: str) -> float:
        place = bisect.bisect_left(self.keys_N, key)
        if place == len(self.keys_N) or self.keys_N[place] != key:
            raise KeyError(key)
        return float(self.values_N[place])

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys_N)

    def __len__(self) -> int:
        return len(self.keys_N)


@dataclass(frozen=True)
class Estimate:
    """A number of a set, with what its interval and a paired difference need.

    Attributes:
        value: Of all sounds.
        count: Sounds.
        without_G: Without each group of sources, NaN where that says nothing.
        error: Standard error of a number whose groups are not left out, NaN for others.
        freedom: Degrees of freedom of `error`.
        beside: What else is worth knowing beside it: what real halves, shuffled pairs or silence would get.
        values: Of a number that is a mean over sounds, the value of each, by its key.
        span: What values there can be.
    """

    value: float
    count: int
    without_G: Floats = field(default_factory=lambda: np.full(GROUPS, math.nan))
    error: float = math.nan
    freedom: int = 1
    beside: Mapping[str, float] = field(default_factory=dict)
    values: ValueOfEach = field(default_factory=ValueOfEach)
    span: Span = ANY

    def score(self, confidence: float) -> Score:
        """With its interval; none where sources are in fewer than two groups."""
        if math.isfinite(self.error):
            quantile = student_quantile(0.5 + confidence / 2, self.freedom)
            return Score(self.value, *interval(self.value, self.error, quantile, self.count, self.span), self.count)
        known_G = self.without_G[np.isfinite(self.without_G)]
        if len(known_G) >= 2:
            return jackknife(self.value, known_G, self.count, confidence, self.span)
        return Score(self.value, math.nan, math.nan, self.count)


class SetMetric(Protocol):
    """A metric of a system's sounds, over what one extractor found out about them."""

    @property
    def title(self) -> str:
        """What a table calls it."""

    @property
    def better(self) -> Literal["higher", "lower"]:
        """Which value is the better one."""

    @property
    def extractor(self) -> str:
        """Whose features it takes."""

    def compute(self, heard: Heard) -> Estimate:
        """The number.

        Raises:
            NotMeasuredError: When it cannot be computed; the message says why.
        """


@dataclass(frozen=True)
class DistanceOfEmbeddings:
    """What is said of a distance between the embeddings of a system and those of the references.

    Attributes:
        title: What a table calls it.
        extractor: Whose embeddings.
    """

    title: str
    extractor: str
    better: Literal["higher", "lower"] = "lower"


def mean_of_rows(
    values: Mapping[str, float], groups: Mapping[str, int], beside: Mapping[str, float], span: Span
) -> Estimate:
    """The mean of a value a sound, with the means without each group.

    Args:
        values: By key of the sound; not finite ones are left out.
        groups: Of each key.
        beside: See `Estimate`.
        span: What values there can be.

    Raises:
        NotMeasuredError: When there is none.
    """
    keys = sorted(key for key, value in values.items() if math.isfinite(value))
    if not keys:
        raise NotMeasuredError("no sound has a value")
    found = np.array([values[key] for key in keys])
    groups_N = np.array([groups[key] for key in keys])
    without_G = means_without(found, groups_N)
    each = ValueOfEach(keys, found)
    return Estimate(float(found.mean()), len(keys), without_G, beside=beside, values=each, span=span)


def means_without(values_N: Floats, groups_N: npt.NDArray[np.int64]) -> Floats:
    """The mean without each group, (G,); NaN for a group without values, or without others."""
    sums_G = np.bincount(groups_N, values_N, GROUPS)
    counts_G = np.bincount(groups_N, minlength=GROUPS)
    left_G = len(values_N) - counts_G
    useful = (counts_G > 0) & (left_G > 0)
    return np.where(useful, (values_N.sum() - sums_G) / np.maximum(left_G, 1), math.nan)


def without_each(statistic: Callable[[int | None], float], occupied: Sequence[int]) -> Floats:
    """A statistic without each group that has sounds, (G,); NaN where it says nothing."""
    found = np.full(GROUPS, math.nan)
    for group in occupied if len(occupied) > 1 else ():
        try:
            found[group] = statistic(group)
        except NotMeasuredError:
            continue  # too little is left without this group
    return found


def difference(first: Estimate, second: Estimate, confidence: float) -> Score:
    """First minus second number of two systems, with the interval of the paired difference."""
    both = np.isfinite(first.without_G) & np.isfinite(second.without_G)
    count = min(first.count, second.count)
    if both.sum() < 2:
        return Score(first.value - second.value, math.nan, math.nan, count)
    pairs = (first.without_G[both], second.without_G[both])
    return paired_difference((first.value, second.value), pairs, count, confidence, first.span)
