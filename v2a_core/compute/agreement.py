"""Does a quick way to compute something give what the plain way gives? Asked once, with one random input.

Quick ways know the code that they replace. When that code changes, with another version of a library or in a class of
somebody's own, they must not give other numbers without a word: the plain way is taken, and it is said why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# Of the norm of what the plain way gives: what rounding in another order makes of a few layers, and no more.
TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 3e-2}

# What code raises that is given something else than it was written for.
UNFIT = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def example(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Normal noise, always the same; no other random number of this process is changed by it."""
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(0)).to(dtype)


def disagreement(plain: Callable[[Tensor], Tensor], quick: Callable[[Tensor], Tensor], inputs: Tensor) -> str | None:
    """Why a quick way cannot take the place of a plain one; None where both give the same.

    Args:
        plain: What is to be replaced; may be of another kind than expected, so it may raise, too.
        quick: What would replace it.
        inputs: Floating-point; its number format says how equal the results must be.
    """
    try:
        with torch.inference_mode():
            return difference([plain(inputs)], [quick(inputs)], inputs.dtype)
    except UNFIT as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]


def gradient_difference(
    expected: Sequence[Tensor | None], found: Sequence[Tensor | None], dtype: torch.dtype
) -> str | None:
    """How a step's loss and gradients differ, as `difference` says; a parameter without a gradient has None."""
    if [one is None for one in expected] != [one is None for one in found]:
        return "it gives gradients to other parameters"
    whole, others = ([one for one in side if one is not None] for side in (expected, found))
    return difference(whole, others, dtype)


def difference(expected: Sequence[Tensor], found: Sequence[Tensor], dtype: torch.dtype) -> str | None:
    """How tensors differ by more than rounding in a number format makes them; None where they do not."""
    if [one.shape for one in expected] != [one.shape for one in found]:
        shapes = ([tuple(one.shape) for one in side] for side in (found, expected))
        return "its shapes are {}, not {}".format(*shapes)
    norm = torch.stack([one.double().norm() for one in expected]).norm()
    gap = torch.stack([(a.double() - b.double()).norm() for a, b in zip(expected, found, strict=True)]).norm()
    if gap <= TOLERANCE[dtype] * norm:  # false for what is not a number, too
        return None
    return f"its numbers differ by {float(gap / norm):.2g} of their norm"
