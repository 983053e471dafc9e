"""Random weights from a seed, without a trace in the caller's randomness."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's CPU generator starts from `seed` inside, and is as it was behind."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
