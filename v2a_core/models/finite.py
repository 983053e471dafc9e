"""Weights that are no numbers: one NaN among them makes every sound of a run NaN, or noise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class DamagedWeightsError(RuntimeError):
    """Weights hold NaN or infinity; names the file and the tensor."""


def check_finite(source: str, tensors: Mapping[str, torch.Tensor]) -> None:
    """Refuse weights that are not all finite.

    Args:
        source: The file, for the message.
        tensors: Its tensors by name.

    Raises:
        DamagedWeightsError: Naming the first tensor that is not.
    """
    name = first_not_finite(tensors.items())
    if name is not None:
        refuse(source, name)


def refuse(source: str, name: str) -> None:
    """Raise the error for a tensor of a file."""
    raise DamagedWeightsError(
        f"{source}: the tensor {name} holds numbers that are NaN or infinite: the weights are damaged, get them again"
    )


def first_not_finite(tensors: Iterable[tuple[str, torch.Tensor]]) -> str | None:
    """The name of the first tensor with NaN or infinity in it; attention masks hold infinity by their nature."""
    import torch

    for name, tensor in tensors:
        if not tensor.is_floating_point() or name.endswith("mask"):
            continue
        # NaN and infinity go through a sum, and a sum takes no memory.
        if not torch.isfinite(tensor.sum(dtype=torch.float64)) and not torch.isfinite(tensor).all():
            return name
    return None
