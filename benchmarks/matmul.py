"""How fast this machine multiplies matrices: what a network's rate is measured against."""

from __future__ import annotations

import time

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def matmul_peak(dtype: torch.dtype) -> float:
    """Operations a second of square matrix products, the best of six."""
    size = 8192 if DEVICE == "cuda" else 1536
    a, b = torch.randn(2, size, size, device=DEVICE, dtype=dtype)
    best = 0.0
    for _ in range(6):
        started = time.perf_counter()
        float((a @ b)[0, 0])  # reading a number waits for the GPU
        best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best
