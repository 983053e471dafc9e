"""What a process that computes with torch on a CPU wants set."""

from __future__ import annotations

import ctypes
import sys

_KEPT_BYTES = 256 * 2**20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def prepare_torch(threads: int) -> None:
    """Set the threads of torch, and keep freed memory at hand.

    A model allocates and frees the same large blocks step after step. glibc's default is to return each to the system,
    which zeroes it page by page when it is asked for again: a tenth of a generator's time on a CPU.

    Args:
        threads: Of one operator.
    """
    import torch

    torch.set_num_threads(threads)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD) if hasattr(libc, "mallopt") else ():  # musl has none
            libc.mallopt(option, _KEPT_BYTES)
