"""Number formats of training."""

from __future__ import annotations

from typing import Literal

import torch

from v2a_core.compute.precision import choose_dtype


def training_dtype(precision: Literal["auto", "fp32", "bf16"], device: str) -> torch.dtype:
    """The format of matrix products; weights stay in fp32.

    `auto` is bf16 where the hardware computes in it, else fp32: fp16 would lose small gradients.
    """
    return torch.bfloat16 if choose_dtype(precision, device) == torch.bfloat16 else torch.float32


def autocast(device: str, dtype: torch.dtype) -> torch.autocast:
    """A context in which matrix products are computed in `dtype`."""
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16)
