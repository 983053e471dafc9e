"""Values of systems on a scale, from paired comparisons: the cumulative-logit model.

    P(d <= k) = sigma(t_k - (m_a - m_b)),   t_{-k-1} = -t_k

d, from -K to K, is how much a was preferred over b; the thresholds are symmetric, because the order of a pair means
nothing. With three categories and two systems, w won, l lost: m_a - m_b = (logit w - logit l) / 2 and
t_0 = -(logit w + logit l) / 2. Source: A. Agresti, Analysis of Ordinal Paired Comparison Data, JRSS C 41 (1992).

Shapes: R resamples that are fitted at once, S systems, P pairs, C = 2 K + 1 categories, B = S - 1 + K parameters.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RIDGE = 0.01
_STEPS = 60
_LARGEST_STEP = 1.0  # of a parameter
_KEPT_GAP = 0.3  # share of the distance of two thresholds that a step leaves
_ACCURACY = 1e-8


class Scale(NamedTuple):
    """Fitted values.

    Attributes:
        values_RS: m, with mean 0 over the systems.
        thresholds_RK: t_0 .. t_{K-1}, ascending, above 0.
    """

    values_RS: Floats
    thresholds_RK: Floats


def fit(counts_RPC: Floats, pairs_P2: npt.NDArray[np.int64], systems: int, ridge: float = RIDGE) -> Scale:
    """The most likely values and thresholds, by Fisher's scoring.

    Args:
        counts_RPC: How often each category of each pair was said, from `recode.count`.
        pairs_P2: The systems of each pair.
        systems: S.
        ridge: Comparisons that are added to each pair, spread evenly over the categories. Where one system always wins,
            the most likely value would be infinite; 0 adds none.

    Raises:
        ValueError: When a pair of systems was never compared, nor through others, and the ridge is 0.
    """
    half = counts_RPC.shape[2] // 2
    counts_RPC = counts_RPC + ridge / counts_RPC.shape[2]
    if not (counts_RPC.sum(axis=(1, 2)) > 0).all():
        raise ValueError("there are no comparisons to fit")
    values_DB = _design(pairs_P2, systems, half)
    beta_RB = np.concatenate([np.zeros((len(counts_RPC), systems - 1)), _first_thresholds(counts_RPC)], axis=1)
    for _ in range(_STEPS):
        step_RB = _bounded(_step(beta_RB, counts_RPC, values_DB), beta_RB[:, systems - 1 :])
        beta_RB = beta_RB + step_RB
        if np.abs(step_RB).max() < _ACCURACY:
            break
    values_RS = np.concatenate([np.zeros((len(beta_RB), 1)), beta_RB[:, : systems - 1]], axis=1)
    return Scale(values_RS - values_RS.mean(axis=1, keepdims=True), beta_RB[:, systems - 1 :])


def probabilities(difference: Floats | float, thresholds_K: Floats) -> Floats:
    """Probability of each category for differences m_a - m_b, float64 (..., C)."""
    thresholds = np.concatenate([-thresholds_K[::-1], thresholds_K])
    below = _sigmoid(thresholds - np.asarray(difference, np.float64)[..., None])
    edge = np.zeros((*below.shape[:-1], 1))
    return np.diff(np.concatenate([edge, below, edge + 1], axis=-1), axis=-1)


def _design(pairs_P2: npt.NDArray[np.int64], systems: int, half: int) -> Floats:
    """What each parameter adds to t_k - (m_a - m_b), for each pair and threshold, (P, 2 K, B); m of the first is 0."""
    design = np.zeros((len(pairs_P2), 2 * half, systems + half))
    rows = np.arange(len(pairs_P2))
    design[rows, :, pairs_P2[:, 0]] -= 1
    design[rows, :, pairs_P2[:, 1]] += 1
    for k in range(half):
        design[:, half + k, systems + k], design[:, half - 1 - k, systems + k] = 1, -1
    return design[:, :, 1:]


def _first_thresholds(counts_RPC: Floats) -> Floats:
    """The thresholds that fit if all systems are alike, (R, K)."""
    half = counts_RPC.shape[2] // 2
    both_RC = (counts_RPC + counts_RPC[..., ::-1]).sum(axis=1)
    share_RC = (both_RC + 1e-3 * both_RC.sum(axis=1, keepdims=True)) / (1 + 1e-3 * both_RC.shape[1])
    below_RK = np.cumsum(share_RC, axis=1)[:, half:-1] / share_RC.sum(axis=1, keepdims=True)
    thresholds_RK: Floats = np.log(below_RK / (1 - below_RK))
    return thresholds_RK


def _step(beta_RB: Floats, counts_RPC: Floats, design_PTB: Floats) -> Floats:
    """Fisher's scoring: the inverse of the expected information times the gradient, (R, B)."""
    below_RPT = _sigmoid(np.einsum("ptb,rb->rpt", design_PTB, beta_RB))
    density_RPTB = (below_RPT * (1 - below_RPT))[..., None] * design_PTB
    edge_RP1 = np.zeros((*below_RPT.shape[:2], 1))
    p_RPC = np.diff(np.concatenate([edge_RP1, below_RPT, edge_RP1 + 1], axis=2), axis=2).clip(1e-300)
    zero_RP1B = np.zeros_like(density_RPTB[:, :, :1])
    slope_RPCB = np.diff(np.concatenate([zero_RP1B, density_RPTB, zero_RP1B], axis=2), axis=2)
    gradient_RB = np.einsum("rpc,rpcb->rb", counts_RPC / p_RPC, slope_RPCB)
    scaled_RPCB = slope_RPCB * np.sqrt(counts_RPC.sum(axis=2)[..., None] / p_RPC)[..., None]
    flat_RXB = scaled_RPCB.reshape(len(beta_RB), -1, beta_RB.shape[1])
    information_RBB = flat_RXB.transpose(0, 2, 1) @ flat_RXB
    try:
        return np.linalg.solve(information_RBB, gradient_RB[..., None])[..., 0]
    except np.linalg.LinAlgError:
        raise ValueError("some systems were never compared, nor through others: use a ridge above 0") from None


def _bounded(step_RB: Floats, thresholds_RK: Floats) -> Floats:
    """Steps that are not too long, and after which thresholds still ascend from 0."""
    half = thresholds_RK.shape[1]
    gaps_RK = np.diff(thresholds_RK, axis=1, prepend=0)
    shrink_RK = -np.diff(step_RB[:, -half:], axis=1, prepend=0)
    with np.errstate(divide="ignore"):
        room_RK = np.where(shrink_RK > 0, (1 - _KEPT_GAP) * gaps_RK / shrink_RK, np.inf)
    longest_R = np.abs(step_RB).max(axis=1).clip(1e-300)
    factor_R = np.minimum(1.0, np.minimum(room_RK.min(axis=1), _LARGEST_STEP / longest_R))
    bounded: Floats = step_RB * factor_R[:, None]
    return bounded


def _sigmoid(x: Floats) -> Floats:
    values: Floats = 0.5 * (1 + np.tanh(0.5 * x))
    return values
