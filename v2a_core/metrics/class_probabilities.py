"""Metrics of class probabilities: Kullback-Leibler divergence of pairs, and the inception score of a set.

Sources: V. Iashin, E. Rahtu, Taming Visually Guided Sound Generation, BMVC 2021 (the divergence, which they call MKL),
T. Salimans et al., Improved Techniques for Training GANs, NIPS 2016 (the score); as av-benchmark and audioldm_eval.

Shapes: N rows, K classes, S splits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from v2a_core.metrics.base import NotMeasuredError
from v2a_core.metrics.stored import Vectors, blocks

Floats = npt.NDArray[np.float64]
Logits = npt.NDArray[np.floating[Any]]

SPLITS = 10
SPLIT_SEED = 2020  # of numpy's RandomState: with another one, other rows come together


class InceptionScore(NamedTuple):
    """Mean and standard deviation (divided by the number of splits) over the splits of a set."""

    mean: float
    deviation: float


def log_softmax(logits_NK: Logits) -> Floats:
    """Logarithms of probabilities, float64 (N, K)."""
    logits_NK = np.asarray(logits_NK, np.float64)
    shifted_NK = logits_NK - logits_NK.max(axis=1, keepdims=True)
    logs: Floats = shifted_NK - np.log(np.exp(shifted_NK).sum(axis=1, keepdims=True))
    return logs


def kl_divergence(reference_NK: Logits, made_NK: Logits, epsilon: float = 0.0) -> Floats:
    """KL(reference || made) of each pair, in nats, float64 (N,), whose mean is the metric.

    Args:
        reference_NK: Logits of the reference sounds.
        made_NK: Logits of the made sounds, of the same sources in the same order.
        epsilon: Added to the made sounds' probabilities: 0 as in av-benchmark, 1e-6 as in audioldm_eval.

    Raises:
        ValueError: When they are no pairs.
    """
    if reference_NK.shape != made_NK.shape:
        raise ValueError(f"logits of shapes {reference_NK.shape} and {made_NK.shape} are no pairs")
    reference, made = log_softmax(reference_NK), log_softmax(made_NK)
    if epsilon:
        made = np.log(np.exp(made) + epsilon)
    # Logarithms of what is 0 (one-hot logits) have no part in the sum.
    terms_NK = np.where(np.exp(reference) > 0, np.exp(reference) * (np.maximum(reference, -1e300) - made), 0.0)
    divergence: Floats = terms_NK.sum(axis=1)
    return divergence


def inception_score(made_NK: Vectors, splits: int = SPLITS, seed: int | None = SPLIT_SEED) -> InceptionScore:
    """The exponential of the mean KL divergence of a row's probabilities from their mean over a split, over the splits.

    Args:
        made_NK: Logits, in memory or on disk.
        splits: Parts of the shuffled rows; few rows in a part make the score smaller.
        seed: Of the shuffling; None leaves the order.

    Returns:
        From 1 (all alike, or nothing recognised) to K.

    Raises:
        NotMeasuredError: For fewer rows than splits.
    """
    (found,) = inception_scores(made_NK, [np.ones(len(made_NK), bool)], splits, seed)
    return found


def inception_scores(
    made_NK: Vectors,
    kept: Sequence[npt.NDArray[np.bool_]],
    splits: int = SPLITS,
    seed: int | None = SPLIT_SEED,
) -> list[InceptionScore]:
    """The score of each of several choices of rows, in one pass over them: a split needs no more than its sums.

    Args:
        made_NK: Logits, in memory or on disk.
        kept: Which rows of a choice; their order is the one that is shuffled.
        splits: Parts of the shuffled rows.
        seed: Of the shuffling; None leaves the order.

    Raises:
        NotMeasuredError: When a choice has fewer rows than splits.
    """
    choices = [_Splits(keep_N, splits, seed, made_NK.shape[1]) for keep_N in kept]
    start = 0
    for logits_NK in blocks(made_NK):
        logs_NK = log_softmax(logits_NK)
        probabilities_NK = np.exp(logs_NK)
        # Logarithms of what is 0 have no part in the sum.
        negentropy_N = (probabilities_NK * np.maximum(logs_NK, -1e300)).sum(axis=1)
        rows = slice(start, start + len(logits_NK))
        for choice in choices:
            choice.add(rows, probabilities_NK, negentropy_N)
        start = rows.stop
    return [choice.score() for choice in choices]


class _Splits:
    """Sums of each split of a choice of rows.

    Args:
        keep_N: The choice.
        splits: Their number, S.
        seed: Of the shuffling.
        classes: K.
    """

    def __init__(self, keep_N: npt.NDArray[np.bool_], splits: int, seed: int | None, classes: int) -> None:
        count = int(keep_N.sum())
        if count < splits or splits < 1:
            raise NotMeasuredError(f"an inception score in {splits} splits needs as many rows, not {count}")
        order = np.arange(count) if seed is None else np.random.RandomState(seed).permutation(count)
        bounds = np.array([split * count // splits for split in range(1, splits)])
        self._split_N = np.full(len(keep_N), splits, np.int16)  # the last one is of rows that are left out
        self._split_N[np.flatnonzero(keep_N)[order]] = np.searchsorted(bounds, np.arange(count), side="right")
        self._counts_S = np.bincount(self._split_N, minlength=splits + 1)[:splits]
        self._sums_SK, self._negentropy_S = np.zeros((splits, classes)), np.zeros(splits)

    def add(self, rows: slice, probabilities_NK: Floats, negentropy_N: Floats) -> None:
        """Add successive rows."""
        which_NS = np.eye(len(self._counts_S) + 1)[self._split_N[rows], :-1]
        self._sums_SK += which_NS.T @ probabilities_NK
        self._negentropy_S += which_NS.T @ negentropy_N

    def score(self) -> InceptionScore:
        """Of all rows that were added."""
        mean_SK = self._sums_SK / self._counts_S[:, None]
        # A class that no row of a split has adds nothing.
        of_mean_S = (mean_SK * np.log(np.where(mean_SK > 0, mean_SK, 1.0))).sum(axis=1)
        scores_S = np.exp(self._negentropy_S / self._counts_S - of_mean_S)
        return InceptionScore(float(np.mean(scores_S)), float(np.std(scores_S)))
