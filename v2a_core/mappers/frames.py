"""What people give a mapper for frames: arrays, tensors, lists of either, columns of Parquet files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from v2a_core.protocols import AnyFloats


def as_frames(frames: Any, dim: int, what: str = "vision_frames") -> AnyFloats:
    """The frame embeddings of one segment as an array.

    Args:
        frames: An array or tensor (n, dim) of any number type, on any device, or a sequence of n of them (dim,).
        dim: Numbers in the embedding of a frame.
        what: What messages call them.

    Returns:
        (n, dim), n >= 1: float16 as it is, everything else as float32.

    Raises:
        ValueError: On anything else; says which shape it has.
    """
    try:
        array = _numbers(frames)
    except _RaggedError as error:
        raise ValueError(f"{what}: frames of {error} numbers, and each must have {dim}: an array (n, {dim})") from None
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{what}: a {type(frames).__name__} that holds other things than numbers ({error}); an array, a tensor or "
            f"a list of shape (n, {dim}) is needed"
        ) from None
    if array.ndim != 2 or array.shape[1] != dim or not len(array):
        raise ValueError(f"{what}: frame embeddings of shape {array.shape}, not (n >= 1, {dim}){_hint(array, dim)}")
    return array


def _numbers(value: Any) -> AnyFloats:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        # NumPy has no bfloat16.
        value = (value if value.dtype == torch.float16 else value.float()).numpy()
    if isinstance(value, np.ndarray) and value.dtype != object:
        if value.dtype.kind not in "fiu":
            raise TypeError(f"the array's type is {value.dtype}")
        return value if value.dtype == np.float16 else value.astype(np.float32)
    if isinstance(value, (str, bytes)) or not isinstance(value, (Sequence, np.ndarray)):
        raise TypeError(f"there is a {type(value).__name__}")
    if all(isinstance(item, (int, float, np.number)) for item in value):
        return np.array(value, np.float32)
    parts = [_numbers(item) for item in value]
    sizes = {part.shape for part in parts}
    if len(sizes) > 1:
        raise _RaggedError(" and ".join(str(size[0] if len(size) == 1 else size) for size in sorted(sizes)))
    return np.stack(parts)


def _hint(array: AnyFloats, dim: int) -> str:
    if array.shape == (dim,):
        return ": one frame is vision_frames[None]"
    if array.ndim == 3 and array.shape[2] == dim:
        return ": those of one segment; several segments are mapped by mapper.map(segments, seeds)"
    if array.ndim == 2 and array.shape[0] == dim:
        return ": it looks transposed"
    return ""


class _RaggedError(Exception):
    """Frames of unlike sizes; the message names these."""
