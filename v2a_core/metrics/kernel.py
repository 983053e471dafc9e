"""Kernel audio distance (KAD): 100 times the unbiased squared maximum mean discrepancy, with a Gaussian kernel.

    MMD^2 = mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j)
    k(a, b) = exp(-|a - b|^2 / (2 s^2))

s is the median of the distances of the reference's rows, so that all systems are measured with one kernel. Unbiased: it
may be below 0. Sources: Y. Chung et al., KAD: No More FAD!, arXiv 2502.15602; A. Gretton et al., A Kernel Two-Sample
Test, JMLR 13 (2012), lemma 6.

Shapes: N made and M reference rows, D numbers of a vector, G groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from v2a_core.metrics.base import NotMeasuredError
from v2a_core.metrics.stored import Vectors, gathered

Floats = npt.NDArray[np.float64]
Groups = npt.NDArray[np.integer[Any]]

SCALE = 100.0
LEAST_ROWS = 2
MEDIAN_ROWS = 4000  # 8 million distances; the median of more is the same to three digits
_BLOCK = 1024
_FEW = 128


@dataclass(frozen=True)
class KernelSums:
    """Sums of the kernel over pairs of rows, by their groups: all that the distance, and any jackknife of it, needs.

    Attributes:
        made_GG, reference_GG: Within a set, without a row and itself, float64.
        cross_GG: Made rows by reference rows, float64.
        made_G, reference_G: Rows of each group.
    """

    made_GG: Floats
    reference_GG: Floats
    cross_GG: Floats
    made_G: Floats
    reference_G: Floats

    def distance(self, keep_G: npt.NDArray[np.bool_] | None = None) -> float:
        """KAD of the rows of some groups, or of all.

        Raises:
            NotMeasuredError: For fewer than two rows in a set.
        """
        keep = np.ones(len(self.made_G), bool) if keep_G is None else keep_G
        made, reference = float(self.made_G[keep].sum()), float(self.reference_G[keep].sum())
        if min(made, reference) < LEAST_ROWS:
            raise NotMeasuredError(f"a kernel distance needs two rows in each set, not {made:g} and {reference:g}")
        within, among, across = (
            float(sums[np.ix_(keep, keep)].sum()) for sums in (self.made_GG, self.reference_GG, self.cross_GG)
        )
        means = within / (made * (made - 1)) + among / (reference * (reference - 1)) - 2 * across / (made * reference)
        return SCALE * means

    def without_each(self) -> Floats:
        """KAD without one group after the other, float64 (G,)."""
        groups = len(self.made_G)
        return np.array([self.distance(np.arange(groups) != group) for group in range(groups)])


def kernel_distance(made_ND: Vectors, reference_MD: Vectors, bandwidth: float) -> float:
    """KAD of two sets.

    Raises:
        NotMeasuredError: For fewer than two rows in a set.
    """
    made, reference = (np.zeros(len(rows), np.int64) for rows in (made_ND, reference_MD))
    return kernel_sums(made_ND, reference_MD, bandwidth, (made, reference), 1).distance()


def median_distance(reference_MD: Vectors, seed: int = 0, most: int = MEDIAN_ROWS) -> float:
    """The median of the distances of all pairs of rows, the lower one of two; of `most` rows drawn if there are more.

    Raises:
        NotMeasuredError: For fewer than two rows, and when more than half of the pairs are alike.
    """
    if len(reference_MD) < LEAST_ROWS:
        raise NotMeasuredError(f"a bandwidth needs at least two reference rows, not {len(reference_MD)}")
    chosen_M = np.zeros(len(reference_MD), bool)
    chosen_M[np.random.default_rng(seed).permutation(len(reference_MD))[:most]] = True
    squared = _pairs(gathered(reference_MD, chosen_M))
    middle = (len(squared) - 1) // 2
    squared.partition(middle)
    median = float(np.sqrt(squared[middle]))
    if not median > 0:
        raise NotMeasuredError("more than half of the reference's rows are alike: there is no bandwidth")
    return median


def _pairs(rows_ND: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The squared distance of each pair of rows, (N (N - 1) / 2,); of a few rows to all others at a time.

    Computed in float64, kept in float32: seven digits of a bandwidth in half of the memory.
    """
    count, start = len(rows_ND), 0
    found = np.empty(count * (count - 1) // 2, np.float32)
    for first in range(0, count, _FEW):
        block_ND = np.asarray(rows_ND[first : first + _FEW], np.float64)
        squared_NM = np.concatenate(
            [
                _squared_distances(block_ND, np.asarray(rows_ND[other : other + _BLOCK], np.float64))
                for other in range(first, count, _BLOCK)
            ],
            axis=1,
        )
        for place, distances_M in enumerate(squared_NM):
            after_M = distances_M[place + 1 :]
            found[start : start + len(after_M)] = after_M
            start += len(after_M)
    return found


def kernel_sums(
    made_ND: Vectors, reference_MD: Vectors, bandwidth: float, groups: tuple[Groups, Groups], count: int
) -> KernelSums:
    """The kernel's sums over all pairs, in blocks: never more than 1024 x 1024 of them are in memory.

    Args:
        made_ND: Vectors of made sounds.
        reference_MD: Vectors of references.
        bandwidth: s, in the vectors' unit.
        groups: Of the made rows (N,) and of the reference rows (M,), 0..count-1.
        count: G.

    Raises:
        ValueError: For a bandwidth that is not positive, and vectors of different sizes.
    """
    if not bandwidth > 0:
        raise ValueError(f"the kernel's bandwidth must be positive, not {bandwidth}")
    if made_ND.shape[1] != reference_MD.shape[1]:
        raise ValueError(f"made vectors have {made_ND.shape[1]} numbers, the reference's {reference_MD.shape[1]}")
    which = [np.eye(count)[part] for part in groups]  # rows to groups, (N, G) and (M, G)
    return KernelSums(
        _sums(made_ND, made_ND, bandwidth, which[0], which[0]) - np.diag(which[0].sum(axis=0)),
        _sums(reference_MD, reference_MD, bandwidth, which[1], which[1]) - np.diag(which[1].sum(axis=0)),
        _sums(made_ND, reference_MD, bandwidth, which[0], which[1]),
        which[0].sum(axis=0),
        which[1].sum(axis=0),
    )


def _sums(first_ND: Vectors, second_MD: Vectors, bandwidth: float, first_NG: Floats, second_MG: Floats) -> Floats:
    """Sums of the kernel by groups of the rows, (G, G)."""
    sums_GG = np.zeros((first_NG.shape[1], second_MG.shape[1]))
    for i in range(0, len(first_ND), _BLOCK):
        rows = slice(i, i + _BLOCK)
        block_ND = np.asarray(first_ND[rows], np.float64)
        for j in range(0, len(second_MD), _BLOCK):
            others = slice(j, j + _BLOCK)
            squared = _squared_distances(block_ND, np.asarray(second_MD[others], np.float64))
            kernel = np.exp(squared / (-2 * bandwidth**2))
            sums_GG += first_NG[rows].T @ kernel @ second_MG[others]
    return sums_GG


def _squared_distances(first_ND: Floats, second_MD: Floats) -> Floats:
    """|a - b|^2 of all pairs, (N, M), not below 0."""
    norms_N, norms_M = (np.einsum("nd,nd->n", rows, rows) for rows in (first_ND, second_MD))
    squared: Floats = np.maximum(0.0, norms_N[:, None] + norms_M - 2 * first_ND @ second_MD.T)
    return squared
