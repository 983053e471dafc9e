"""Expected values of networks, made with the original packages by tests/data/make_oracles.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).parents[1] / "data"


def expected(name: str) -> dict[str, np.ndarray]:
    with np.load(DATA / f"{name}.npz") as arrays:
        return dict(arrays)


def told(name: str) -> dict[str, Any]:
    """The same of those that are kept as text."""
    found: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text())
    return found


def close(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Equal to 1e-4 of how large the values are, and they are not all alike."""
    assert ours.shape == theirs.shape
    scale = float(np.sqrt(np.mean(np.square(theirs))))
    assert scale > 0.1
    assert theirs.std() > 0.1 * scale
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * max(1.0, scale), rtol=0)
