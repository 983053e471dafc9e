"""Number formats of training."""

from __future__ import annotations

from typing import Literal

import torch


def choose_dtype(precision: Literal["auto", "fp32", "bf16"], device: str) -> torch.dtype:
    """The format of matrix products. `auto` is bf16 where the hardware computes in it; weights stay in fp32."""
    if precision == "auto":
        return torch.bfloat16 if _has_bf16(device) else torch.float32
    return torch.bfloat16 if precision == "bf16" else torch.float32


def autocast(device: str, dtype: torch.dtype) -> torch.autocast:
    """A context in which matrix products are computed in `dtype`."""
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16)


def _has_bf16(device: str) -> bool:
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return device == "cpu" and any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
