"""Fréchet distance of infinitely many sounds: what is left of it when the bias of few rows is taken away.

The distance of n sounds to a reference is, for large n, a straight line in 1 / n; its value at 0 is reported. Sources:
M. J. Chong, D. Forsyth, Effectively Unbiased FID and Inception Score, CVPR 2020; A. Gui et al., Adapting Fréchet Audio
Distance for Generative Music Evaluation, arXiv 2311.01616. As there, 25 sizes from 500 to all rows; other than there,
rows are drawn without replacement and with a seed, because a row that is drawn twice brings a bias of its own.

Shapes: N rows, D numbers of a vector, S sizes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from v2a_core.metrics import frechet
from v2a_core.metrics.base import NotMeasuredError
from v2a_core.metrics.moments import streamed
from v2a_core.metrics.stored import Vectors, blocks, gathered

Floats = npt.NDArray[np.float64]

LEAST_ROWS = 500
SIZES = 25


class Extrapolation(NamedTuple):
    """A line through distances of growing sets.

    Attributes:
        value: At infinitely many rows; noise may put it below 0.
        slope: Of the distance over 1 / n.
        fit: R^2 of the line, at most 1.
        sizes_S, distances_S: What it goes through.
    """

    value: float
    slope: float
    fit: float
    sizes_S: npt.NDArray[np.int64]
    distances_S: Floats


def frechet_infinity(
    made_ND: Vectors,
    reference: frechet.Gaussian,
    *,
    seed: int = 0,
    least: int = LEAST_ROWS,
    sizes: int = SIZES,
) -> Extrapolation:
    """Extrapolate the squared distance of made sounds to a reference.

    Args:
        made_ND: More than `least` rows, in memory or on disk.
        reference: Of as many rows as can be had: its own bias is not taken away.
        seed: Of the subsets, each of which is drawn for itself.
        least: The smallest size.
        sizes: S.

    Raises:
        NotMeasuredError: When there are too few rows for a line.
    """
    if len(made_ND) <= least or sizes < 2:
        raise NotMeasuredError(f"an extrapolation needs more than {least} rows and two sizes, not {len(made_ND)} rows")
    sizes_S = np.unique(np.linspace(least, len(made_ND), sizes).astype(np.int64))
    random = np.random.default_rng([seed, len(made_ND)])
    distances_S = np.array([frechet.distance(_drawn(made_ND, int(size), random), reference) for size in sizes_S])
    return line(sizes_S, distances_S)


def _drawn(made_ND: Vectors, size: int, random: np.random.Generator) -> frechet.Gaussian:
    """The Gaussian of some rows, drawn without replacement; they need not be in memory together."""
    chosen_N = np.zeros(len(made_ND), bool)
    chosen_N[random.permutation(len(made_ND))[:size]] = True
    if size <= made_ND.shape[1]:  # the rows themselves are the smaller factor
        return frechet.fit(gathered(made_ND, chosen_N))
    return streamed(blocks(made_ND, chosen_N), made_ND.shape[1]).gaussian()


def line(sizes_S: npt.NDArray[np.int64], distances_S: Floats) -> Extrapolation:
    """The least-squares line of distances over 1 / size."""
    inverse_S = 1 / sizes_S
    slope, value = np.polyfit(inverse_S, distances_S, 1)
    rest = float(np.square(distances_S - value - slope * inverse_S).sum())
    spread = float(np.square(distances_S - distances_S.mean()).sum())
    return Extrapolation(float(value), float(slope), 1 - rest / spread if spread else 1.0, sizes_S, distances_S)
