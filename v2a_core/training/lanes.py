"""Forward and backward pass of a training step on a CPU, the batch's rows side by side.

Torch's threads wait for each other at the end of each operator, some hundred times a step, and a core that does
something else for a moment, as those of a cluster do, makes all of them late. Lanes wait for each other once a step.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from v2a_core.computing import side_by_side

# Of a lane. Products of fewer rows are slower by the row.
LEAST_ROWS = 112
# Of the model. In a smaller one lanes wait for Python, which starts each operator of each.
LEAST_PARAMETERS = 5_000_000


class LanedGradients:
    """Computes a summed loss and adds its gradients to the parameters'.

    Lanes have gradients of their own, which are added in the rows' order: the same numbers come out each time. They
    take the memory of the parameters once a lane.

    Args:
        model: Whose gradients.
        loss: Takes the inputs by name, each (rows, ...), one of them `weight`, what each row counts; returns the rows'
            summed loss. Called from several threads.
    """

    def __init__(self, model: nn.Module, loss: Callable[..., Tensor]) -> None:
        self._parameters, self._loss = list(model.parameters()), loss
        self._is_large = sum(parameter.numel() for parameter in self._parameters) >= LEAST_PARAMETERS

    def __call__(self, inputs: dict[str, Tensor]) -> Tensor:
        """The loss, detached."""
        lanes = min(torch.get_num_threads(), len(inputs["weight"]) // LEAST_ROWS) if self._is_large else 1
        chunks = zip(*(values.chunk(max(1, lanes)) for values in inputs.values()), strict=True)
        pieces = [dict(zip(inputs, chunk, strict=True)) for chunk in chunks]
        losses, gradients = zip(*side_by_side(self._work, pieces, lanes), strict=True)
        for parameter, *parts in zip(self._parameters, *gradients, strict=True):
            for part in parts:
                if part is not None:
                    parameter.grad = part if parameter.grad is None else parameter.grad.add_(part)
        return torch.stack(losses).sum()

    def _work(self, inputs: dict[str, Tensor]) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        loss = self._loss(**inputs)
        return loss.detach(), torch.autograd.grad(loss, self._parameters, allow_unused=True)
