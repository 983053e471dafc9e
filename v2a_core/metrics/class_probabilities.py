"""Metrics of class probabilities: Kullback-Leibler divergence of pairs, and the inception score of a set.

Sources: V. Iashin, E. Rahtu, Taming Visually Guided Sound Generation, BMVC 2021 (the divergence, which they call MKL),
T. Salimans et al., Improved Techniques for Training GANs, NIPS 2016 (the score); as av-benchmark and audioldm_eval.

Shapes: N rows, K classes.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from v2a_core.metrics.base import NotMeasuredError

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


def inception_score(made_NK: Logits, splits: int = SPLITS, seed: int | None = SPLIT_SEED) -> InceptionScore:
    """The exponential of the mean KL divergence of a row's probabilities from their mean over a split, over the splits.

    Args:
        made_NK: Logits.
        splits: Parts of the shuffled rows; few rows in a part make the score smaller.
        seed: Of the shuffling; None leaves the order.

    Returns:
        From 1 (all alike, or nothing recognised) to K.

    Raises:
        NotMeasuredError: For fewer rows than splits.
    """
    count = len(made_NK)
    if count < splits or splits < 1:
        raise NotMeasuredError(f"an inception score in {splits} splits needs as many rows, not {count}")
    logs_NK = log_softmax(made_NK)
    if seed is not None:
        logs_NK = logs_NK[np.random.RandomState(seed).permutation(count)]
    bounds = [split * count // splits for split in range(splits + 1)]
    scores = [_score(logs_NK[first:last]) for first, last in itertools.pairwise(bounds)]
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))


def _score(logs_NK: Floats) -> float:
    probabilities_NK = np.exp(logs_NK)
    mean_K = probabilities_NK.mean(axis=0)
    known = mean_K > 0  # a class that no row has adds nothing
    terms_NK = probabilities_NK[:, known] * (np.maximum(logs_NK[:, known], -1e300) - np.log(mean_K[known]))
    return float(np.exp(terms_NK.sum(axis=1).mean()))
