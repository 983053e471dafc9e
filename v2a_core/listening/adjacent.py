"""The adjacent-categories model of paired comparisons: a check of the cumulative one.

    P(d = k) ~ exp(a_|k| + k (m_a - m_b)),   a_0 = 0

With three categories m_a - m_b = ln(won / lost) / 2. Its values depend on how many categories there are: collapsing
grades to won, tied, lost changes them, which it hardly does to the cumulative model's. So only the order of the systems
and the signs of their differences are to be compared. Source: A. Agresti, JRSS C 41 (1992).

Shapes: R resamples, S systems, P pairs, C = 2 K + 1 categories, B = S - 1 + K parameters.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from v2a_core.listening.cumulative import RIDGE, Scale

Floats = npt.NDArray[np.float64]

_STEPS = 60
_LARGEST_STEP = 1.0
_ACCURACY = 1e-8


def fit(counts_RPC: Floats, pairs_P2: npt.NDArray[np.int64], systems: int, ridge: float = RIDGE) -> Scale:
    """The most likely values, by Newton's method; in place of thresholds the result has a_1 .. a_K.

    Args:
        counts_RPC: How often each category of each pair was said, from `recode.count`.
        pairs_P2: The systems of each pair.
        systems: S.
        ridge: Comparisons that are added to each pair, spread evenly over the categories.

    Raises:
        ValueError: When some systems were never compared and the ridge is 0.
    """
    half = counts_RPC.shape[2] // 2
    counts_RPC = counts_RPC + ridge / counts_RPC.shape[2]
    design_PCB = _design(pairs_P2, systems, half)
    total_RP1 = counts_RPC.sum(axis=2, keepdims=True)
    beta_RB = np.zeros((len(counts_RPC), systems - 1 + half))
    for _ in range(_STEPS):
        energy_RPC = np.einsum("pcb,rb->rpc", design_PCB, beta_RB)
        p_RPC = np.exp(energy_RPC - energy_RPC.max(axis=2, keepdims=True))
        p_RPC /= p_RPC.sum(axis=2, keepdims=True)
        gradient_RB = np.einsum("rpc,pcb->rb", counts_RPC - total_RP1 * p_RPC, design_PCB)
        centred_RPCB = design_PCB - np.einsum("rpc,pcb->rpb", p_RPC, design_PCB)[:, :, None]
        information_RBB = np.einsum("rpc,rpcb,rpcd->rbd", total_RP1 * p_RPC, centred_RPCB, centred_RPCB)
        try:
            step_RB = np.linalg.solve(information_RBB, gradient_RB[..., None])[..., 0]
        except np.linalg.LinAlgError:
            raise ValueError("some systems were never compared, nor through others: use a ridge above 0") from None
        longest_R1 = np.abs(step_RB).max(axis=1, keepdims=True).clip(1e-300)
        beta_RB = beta_RB + step_RB * np.minimum(1.0, _LARGEST_STEP / longest_R1)
        if longest_R1.max() < _ACCURACY:
            break
    values_RS = np.concatenate([np.zeros((len(beta_RB), 1)), beta_RB[:, : systems - 1]], axis=1)
    return Scale(values_RS - values_RS.mean(axis=1, keepdims=True), beta_RB[:, systems - 1 :])


def _design(pairs_P2: npt.NDArray[np.int64], systems: int, half: int) -> Floats:
    """What each parameter adds to the exponent of each category, (P, C, B); the first system is at 0."""
    grades = np.arange(-half, half + 1)
    design = np.zeros((len(pairs_P2), 2 * half + 1, systems + half))
    rows = np.arange(len(pairs_P2))
    design[rows, :, pairs_P2[:, 0]] += grades
    design[rows, :, pairs_P2[:, 1]] -= grades
    for k in range(1, half + 1):
        design[:, np.abs(grades) == k, systems + k - 1] = 1
    return design[:, :, 1:]
