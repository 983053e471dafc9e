"""Fréchet distance between two sets of embeddings, each taken for a Gaussian.

    d^2 = |m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1^1/2 C2 C1^1/2)^1/2)

Source: D. C. Dowson, B. V. Landau, The Fréchet distance between multivariate normal distributions, J. Multivariate
Analysis 12 (1982). As in FID and FAD, the squared distance is what is reported.

Shapes: N rows of one set, D numbers of an embedding, K rows of a factor, K <= D.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from v2a_core.metrics.base import Score
from v2a_core.metrics.config import IntervalSettings
from v2a_core.metrics.intervals import quantiles, resamples
from v2a_core.protocols import AnyFloats

Floats = npt.NDArray[np.float64]

LEAST_ROWS = 2


class Gaussian(NamedTuple):
    """Mean (D,), and a factor (K, D) of the covariance: factor^T factor."""

    mean_D: Floats
    factor_KD: Floats


def fit(vectors_ND: AnyFloats) -> Gaussian:
    """The Gaussian of a set: sample mean and sample covariance (divided by N - 1).

    Args:
        vectors_ND: At least two vectors.

    Raises:
        ValueError: For fewer, and for numbers that are not finite.
    """
    vectors_ND = np.asarray(vectors_ND, np.float64)
    if vectors_ND.ndim != 2 or len(vectors_ND) < LEAST_ROWS:
        raise ValueError(f"a Fréchet distance needs at least {LEAST_ROWS} vectors (N, D), not {vectors_ND.shape}")
    if not np.isfinite(vectors_ND).all():
        raise ValueError("a Fréchet distance needs finite vectors")
    mean_D = vectors_ND.mean(axis=0)
    centred_ND = vectors_ND - mean_D
    centred_ND /= math.sqrt(len(vectors_ND) - 1)
    if len(centred_ND) <= centred_ND.shape[1]:
        return Gaussian(mean_D, centred_ND)  # fewer rows than numbers: the rows themselves are the smaller factor
    return Gaussian(mean_D, _root(centred_ND.T @ centred_ND))


def from_moments(mean_D: Floats, covariance_DD: Floats) -> Gaussian:
    """A Gaussian from its moments, float64 (D,) and (D, D); the covariance symmetric and positive semi-definite."""
    return Gaussian(mean_D, _root(covariance_DD))


def distance(first: Gaussian, second: Gaussian) -> float:
    """The squared distance, at least 0.

    The eigenvalues of (C1^1/2 C2 C1^1/2)^1/2 are the singular values of F2 F1^T for factors F of the covariances: no
    root of a product of nearly singular matrices is ever taken, so few rows in many dimensions are no problem.
    """
    shift = float(np.square(first.mean_D - second.mean_D).sum())
    spread = float(np.square(first.factor_KD).sum() + np.square(second.factor_KD).sum())
    product_KK = second.factor_KD @ first.factor_KD.T
    del first, second  # where nobody else holds them they need not be there beside LAPACK's copy
    common = np.linalg.svd(product_KK, compute_uv=False).sum()
    return max(0.0, shift + spread - 2 * float(common))


def frechet_distance(first_ND: AnyFloats, second_ND: AnyFloats) -> float:
    """The squared Fréchet distance between two sets of vectors."""
    return distance(fit(first_ND), fit(second_ND))


def score(
    made_ND: AnyFloats,
    reference_ND: AnyFloats,
    intervals: IntervalSettings,
    count: int,
) -> Score:
    """The distance with an interval from resampling both sets.

    A resample holds some rows twice and is therefore further from everything: the distances of resamples lie above the
    true one. So only their spread around their own mean is taken, and put around the measured value.

    Args:
        made_ND: One set, at least two vectors.
        reference_ND: The other, likewise.
        intervals: Seed and confidence.
        count: Resamples; none without an interval.
    """
    value = frechet_distance(made_ND, reference_ND)
    pairs = zip(
        resamples(len(made_ND), intervals, count),
        resamples(len(reference_ND), intervals.model_copy(update={"seed": intervals.seed + 1}), count),
        strict=True,
    )
    found = np.array([frechet_distance(made_ND[a], reference_ND[b]) for a, b in pairs])
    low, high = quantiles(found - found.mean(), intervals.confidence) if count else (math.nan, math.nan)
    return Score(value, max(0.0, value + low), value + high, len(made_ND))


def _root(covariance_DD: Floats) -> Floats:
    """Rows (K, D), K the rank, with rows^T rows = covariance: Cholesky's factor with pivoting, from LAPACK.

    Eigenvectors would take five matrices of that size, and longer. It ends where what is left is rounding:
    below D times the precision of the largest variance. Source: N. J. Higham, Analysis of the Cholesky decomposition of
    a semi-definite matrix, in Reliable Numerical Computation, Oxford 1990.
    """
    from scipy.linalg import lapack  # here: it takes longer to load than most sets to compare

    least = max(float(covariance_DD.diagonal().max(initial=0.0)), 0.0) * len(covariance_DD) * np.finfo(np.float64).eps
    # The transpose is the same matrix in LAPACK's order of numbers, and needs no copy of its own.
    factor_DD, order_D, rank, _ = lapack.dpstrf(covariance_DD.T, tol=least)
    rows_KD = np.zeros((rank, len(covariance_DD)))
    rows_KD[:, order_D - 1] = np.triu(factor_DD[:rank])
    return rows_KD
