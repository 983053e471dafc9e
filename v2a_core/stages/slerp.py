"""Between two embeddings of one space: the shorter way on the unit sphere."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def slerp(a_ND: npt.ArrayLike, b_ND: npt.ArrayLike, weight: npt.ArrayLike) -> Floats:
    """Spherical linear interpolation (Shoemake, SIGGRAPH 1985).

    At a share w of the angle from a to b:  a cos(w angle) + p sin(w angle),  p the direction of b that is perpendicular
    to a. Opposite embeddings have no shortest way; one of them is taken, the same whichever end comes first.

    Args:
        a_ND: Embeddings (N, D), D > 1; any length but zero, they are L2-normalised here.
        b_ND: Other ends, (N, D), or one for all (1, D).
        weight: 0 gives a, 1 gives b; one number, or (N,).

    Returns:
        Float32 (N, D), L2-normalised.

    Raises:
        ValueError: For shapes that do not fit, a weight outside 0..1, and embeddings that are zero or not finite.
    """
    a, b = _unit("first", a_ND), _unit("second", b_ND)
    weight_N1 = np.asarray(weight, np.float64).reshape(-1, 1)
    if not ((weight_N1 >= 0) & (weight_N1 <= 1)).all():
        raise ValueError(f"weight = {weight_N1.ravel().tolist()}: it must be in 0..1")
    rows = max(len(a), len(b), len(weight_N1)) if len(a) and len(b) else 0
    if a.shape[1] != b.shape[1] or not {len(a), len(b), len(weight_N1)} <= {rows, 1}:
        raise ValueError(f"{a.shape}, {b.shape} and {len(weight_N1)} weights do not fit together")
    a, b = (np.broadcast_to(side, (rows, a.shape[1])) for side in (a, b))
    # Exact for tiny angles too, where arccos of the product is not.
    angle_N1 = 2 * np.arctan2(_length(a - b), _length(a + b))
    across = _perpendicular(a, b)
    mixed = a * np.cos(weight_N1 * angle_N1) + across * np.sin(weight_N1 * angle_N1)
    unit: Floats = (mixed / _length(mixed)).astype(np.float32)
    return unit


def _perpendicular(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The unit direction of b across a; of the axis that a has least of where b is a or its opposite."""
    across = b - (a * b).sum(axis=1, keepdims=True) * a
    axis = np.eye(a.shape[1])[np.abs(a).argmin(axis=1)]
    axis -= (a * axis).sum(axis=1, keepdims=True) * a
    across = np.where(_length(across) > 1e-9, across, axis)
    across -= (a * across).sum(axis=1, keepdims=True) * a  # again: what is left of a short vector is mostly rounding
    return np.asarray(across / _length(across))


def _unit(name: str, vectors_ND: npt.ArrayLike) -> npt.NDArray[np.float64]:
    vectors = np.asarray(vectors_ND, np.float64)
    if vectors.ndim != 2 or vectors.shape[1] < 2:
        raise ValueError(f"the {name} embeddings have the shape {vectors.shape}, not (N, D) with D > 1")
    lengths = _length(vectors)
    bad = np.flatnonzero(~np.isfinite(lengths[:, 0]) | (lengths[:, 0] == 0))
    if len(bad):
        raise ValueError(f"the {name} embeddings of rows {bad.tolist()} are zero or not finite")
    return np.asarray(vectors / lengths)


def _length(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.linalg.norm(vectors, axis=1, keepdims=True))
