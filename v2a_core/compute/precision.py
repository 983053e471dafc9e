"""Number formats and memory: what every network's runner asks of the device."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["auto", "fp32", "bf16", "fp16"]
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def default_device() -> str:
    """The GPU where there is one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def choose_dtype(precision: Precision, device: str) -> torch.dtype:
    """The number format of a network on a device.

    `auto` is bf16 where the hardware computes in it (then it is faster and keeps fp32's range); on older GPUs it is
    fp16, elsewhere fp32.
    """
    if precision != "auto":
        return _DTYPES[precision]
    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if device == "cpu" and cpu_has_bf16() else torch.float32


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an operation failed for want of memory; the CPU's allocator has no exception class of its own."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)


def cpu_has_bf16() -> bool:
    """Whether the processor computes in bfloat16."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
