"""This worker among the others; alone when torch.distributed is not initialised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Shard:
    """This worker's share of the training rows: those whose number is `rank` modulo `workers`."""

    rank: int = 0
    workers: int = 1


def world_size() -> int:
    """Workers of the run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This worker's number."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def sum_over_workers(values: Tensor) -> Tensor:
    """The sum of a tensor of any shape, the same on all workers, over these workers; computed in place."""
    if world_size() > 1:
        dist.all_reduce(values)
    return values


def share(rows: Tensor) -> Tensor:
    """This worker's rows of a global batch (B, ...): every n-th, so that shares (about B / workers, ...) are even."""
    return rows[rank() :: world_size()]


def generator(device: str, *key: int) -> torch.Generator:
    """A random generator from a key of integers, the same on every worker."""
    return torch.Generator(device).manual_seed(number(*key))


def number(*key: int) -> int:
    """A 63-bit seed from a key of integers."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]) >> 1
