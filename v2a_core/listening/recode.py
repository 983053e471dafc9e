"""Ratings as paired comparisons: which of two systems a listener preferred on an item, and by how much.

Shapes: L listeners, I items, S systems, P = S (S - 1) / 2 pairs of systems, C = 2 K + 1 categories of a comparison.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

Ratings = npt.NDArray[np.floating[Any]]
Floats = npt.NDArray[np.float64]


def pairs_of(systems: int) -> npt.NDArray[np.int64]:
    """All pairs of systems, the lower number first, int64 (P, 2)."""
    return np.array(list(itertools.combinations(range(systems), 2)), np.int64).reshape(-1, 2)


def compare(ratings_LIS: Ratings, *, graded: bool = False) -> Floats:
    """Each pair's difference of ratings, first minus second, within a listener and an item.

    Only what one listener said about one item is compared: how strict listeners are, and how hard items, falls out.

    Args:
        ratings_LIS: On whole points; NaN where a listener did not rate.
        graded: Keep how many points the ratings differ; else only the sign counts: 1 won, 0 tied, -1 lost.

    Returns:
        Float64 (L, I, P), NaN where one of the two is missing.

    Raises:
        ValueError: For another shape, and ratings that are not whole.
    """
    if ratings_LIS.ndim != 3 or ratings_LIS.shape[2] < 2:
        raise ValueError(f"ratings are of listeners, items and at least two systems, not of shape {ratings_LIS.shape}")
    known = ratings_LIS[np.isfinite(ratings_LIS)]
    if (known != np.round(known)).any():
        raise ValueError(f"ratings are on whole points, not {known[known != np.round(known)][0]}")
    pairs_P2 = pairs_of(ratings_LIS.shape[2])
    difference_LIP: Floats = np.asarray(ratings_LIS[..., pairs_P2[:, 0]] - ratings_LIS[..., pairs_P2[:, 1]], np.float64)
    return difference_LIP if graded else np.sign(difference_LIP)


def indicators(comparisons_LIP: Floats, largest: int) -> Floats:
    """Which category each comparison is in, from -K to K, one-hot, float64 (L, I, P, C); zeros where it is missing.

    Args:
        comparisons_LIP: Whole numbers, NaN where missing.
        largest: K; 1 for won, tied, lost.

    Raises:
        ValueError: When one is larger.
    """
    if (np.abs(comparisons_LIP[np.isfinite(comparisons_LIP)]) > largest).any():
        raise ValueError(f"comparisons go from {-largest} to {largest}, not to {np.nanmax(np.abs(comparisons_LIP)):g}")
    hot: Floats = (comparisons_LIP[..., None] == np.arange(-largest, largest + 1)).astype(np.float64)
    return hot


def count(indicators_LIPC: Floats, listeners_RL: Floats | None = None, items_RI: Floats | None = None) -> Floats:
    """How often each category of each pair was said, float64 (R, P, C).

    Args:
        indicators_LIPC: From `indicators`.
        listeners_RL: How often each listener counts, in R resamples; None: once, R = 1.
        items_RI: How often each item counts, likewise.
    """
    listeners, items, pairs, categories = indicators_LIPC.shape
    by_listener = np.ones((1, listeners)) if listeners_RL is None else listeners_RL
    by_item = np.ones((len(by_listener), items)) if items_RI is None else items_RI
    over_listeners = by_listener @ indicators_LIPC.reshape(listeners, -1)
    counts: Floats = np.einsum("ri,rix->rx", by_item, over_listeners.reshape(len(by_listener), items, -1))
    return counts.reshape(-1, pairs, categories)
