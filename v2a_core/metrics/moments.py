"""Mean and covariance of sets of vectors that are seen in parts, or counted without a part.

Merging: T. F. Chan, G. H. Golub, R. J. LeVeque, Algorithms for computing the sample variance, The American Statistician
37 (1983). All in float64: a sum of squares in float32 loses the small directions of 2048 numbers.

Shapes: N rows, D numbers of a vector, G groups.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from v2a_core.metrics import frechet
from v2a_core.metrics.base import NotMeasuredError

Floats = npt.NDArray[np.float64]

_COLUMNS = 256  # of a matrix that are changed at once


@dataclass(frozen=True)
class Moments:
    """What a Gaussian of a set of vectors is made of.

    Attributes:
        count: N.
        mean_D: Float64.
        scatter_DD: Sum of the outer products of deviations from the mean, float64.
    """

    count: int
    mean_D: Floats
    scatter_DD: Floats

    def merge(self, other: Moments) -> Moments:
        """The moments of both sets together."""
        count = self.count + other.count
        if not other.count or not self.count:
            return self if self.count else other
        shift_D = other.mean_D - self.mean_D
        mean_D = self.mean_D + shift_D * (other.count / count)
        scatter_DD = self.scatter_DD + other.scatter_DD
        _add_product(scatter_DD, shift_D[None], self.count * other.count / count)
        return Moments(count, mean_D, scatter_DD)

    def without(self, part: Moments) -> Moments:
        """The moments of what is left when a part of the set is taken away.

        Raises:
            NotMeasuredError: When nothing is left.
        """
        count = self.count - part.count
        if count < 1:
            raise NotMeasuredError(f"without a part of {part.count} vectors, none of {self.count} is left")
        if not part.count:
            return self
        shift_D = self.mean_D - part.mean_D
        mean_D = self.mean_D + shift_D * (part.count / count)
        scatter_DD = self.scatter_DD - part.scatter_DD
        _add_product(scatter_DD, shift_D[None], -self.count * part.count / count)
        return Moments(count, mean_D, scatter_DD)

    def gaussian(self) -> frechet.Gaussian:
        """Mean and a factor of the sample covariance, which is divided by N - 1.

        Raises:
            NotMeasuredError: For fewer than two vectors.
        """
        if self.count < frechet.LEAST_ROWS:
            raise NotMeasuredError(f"a covariance needs at least {frechet.LEAST_ROWS} vectors, not {self.count}")
        mean_D, factor_KD = frechet.from_moments(self.mean_D, self.scatter_DD)
        factor_KD /= math.sqrt(self.count - 1)
        return frechet.Gaussian(mean_D, factor_KD)


def moments(vectors_ND: npt.NDArray[np.floating[Any]]) -> Moments:
    """The moments of some vectors (N, D); N may be 0.

    Raises:
        ValueError: For another shape, and for numbers that are not finite.
    """
    vectors_ND = np.asarray(vectors_ND, np.float64)
    if vectors_ND.ndim != 2:
        raise ValueError(f"moments are of vectors (N, D), not of an array of shape {vectors_ND.shape}")
    if not np.isfinite(vectors_ND).all():
        raise ValueError("moments are of finite vectors")
    if not len(vectors_ND):
        return nothing(vectors_ND.shape[1])
    mean_D = vectors_ND.mean(axis=0)
    centred_ND = vectors_ND - mean_D
    return Moments(len(vectors_ND), mean_D, centred_ND.T @ centred_ND)


def nothing(dim: int) -> Moments:
    """The moments of no vectors."""
    return Moments(0, np.zeros(dim), np.zeros((dim, dim)))


def merged(parts: Iterable[Moments]) -> Moments:
    """The moments of all sets together.

    Raises:
        NotMeasuredError: When there is none.
    """
    whole: Moments | None = None
    for part in parts:
        whole = part if whole is None else whole.merge(part)
    if whole is None:
        raise NotMeasuredError("there are no vectors to take moments of")
    return whole


def streamed(parts: Iterable[npt.NDArray[np.floating[Any]]], dim: int) -> Moments:
    """The moments of many vectors that come in blocks (N, D): of the matrix of D x D there is one, and no other.

    Raises:
        ValueError: For numbers that are not finite.
    """
    count, mean_D, scatter_DD = 0, np.zeros(dim), np.zeros((dim, dim))
    for part_ND in parts:
        if not len(part_ND):
            continue
        rows_ND = np.asarray(part_ND, np.float64)
        if not np.isfinite(rows_ND).all():
            raise ValueError("moments are of finite vectors")
        middle_D, both = rows_ND.mean(axis=0), count + len(rows_ND)
        shift_D = middle_D - mean_D
        _add_product(scatter_DD, rows_ND - middle_D, 1.0)
        _add_product(scatter_DD, shift_D[None], count * len(rows_ND) / both)
        mean_D, count = mean_D + shift_D * (len(rows_ND) / both), both
    return Moments(count, mean_D, scatter_DD)


def _add_product(scatter_DD: Floats, rows_ND: Floats, weight: float) -> None:
    """Add weight times rows^T rows in place, some columns at a time: whole matrices of sums would be most of memory."""
    for start in range(0, scatter_DD.shape[1], _COLUMNS):
        columns = slice(start, start + _COLUMNS)
        scatter_DD[:, columns] += rows_ND.T @ (weight * rows_ND[:, columns])


def by_group(
    vectors_ND: npt.NDArray[np.floating[Any]], groups_N: npt.NDArray[np.integer[Any]], groups: int
) -> list[Moments]:
    """The moments of each group's rows, a list of G; `groups_N` holds 0..G-1."""
    return [moments(vectors_ND[groups_N == group]) for group in range(groups)]


def frechet_of(made: Moments, reference: Moments) -> float:
    """The squared Fréchet distance of two sets."""
    return frechet.distance(made.gaussian(), reference.gaussian())


def frechet_without_each(made: Sequence[Moments], reference: Sequence[Moments]) -> Floats:
    """The squared Fréchet distance when one group after the other is left out of both sets, float64 (G,).

    Args:
        made: Moments of each group of the made sounds.
        reference: Of the same groups of the references.
    """
    all_made, all_reference = merged(made), merged(reference)
    return np.array(
        [
            frechet_of(all_made.without(mine), all_reference.without(theirs))
            for mine, theirs in zip(made, reference, strict=True)
        ]
    )
