"""Forward and backward pass of a training step on a CPU, the batch's rows side by side.

Torch's threads wait for each other at the end of each operator, some hundred times a step, and a core that does
something else for a moment, as those of a cluster do, makes all of them late. Lanes wait for each other once a step.

A network whose rows depend on each other, or which draws random numbers of its own, computes something else in lanes.
So the first step compares both ways on a few rows, and a network that differs is trained the plain way.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from v2a_core.compute.agreement import UNFIT, gradient_difference
from v2a_core.compute.threads import side_by_side

logger = logging.getLogger(__name__)

# Of a lane. Products of fewer rows are slower by the row.
LEAST_ROWS = 112
# Of the model. In a smaller one lanes wait for Python, which starts each operator of each.
LEAST_PARAMETERS = 5_000_000
# Of a lane, when both ways are compared: each lane has more than one row, as in a step.
COMPARED_ROWS = 2

# Computes a summed loss with a model, or with what is called like it, and the step's inputs by name.
Loss = Callable[..., Tensor]


class _Piece(NamedTuple):
    """A lane's part of a step."""

    shell: nn.Module
    weights: dict[str, Tensor]
    inputs: dict[str, Tensor]


class LanedGradients:
    """Computes a summed loss and adds its gradients to the parameters'.

    Lanes have gradients of their own, which are added in the rows' order: the same numbers come out each time. They
    take the memory of the parameters once a lane, in the format of the products.

    Args:
        model: Whose gradients.
        loss: Takes a model and the inputs by name, each (rows, ...), one of them `weight`, what each row counts;
            returns the rows' summed loss. Called from several threads.
        dtype: Format of matrix products under the autocast of `loss`.
    """

    def __init__(self, model: nn.Module, loss: Loss, dtype: torch.dtype) -> None:
        self._model, self._loss, self._dtype = model, loss, dtype
        self._parameters = dict(model.named_parameters())
        self._buffers = dict(model.named_buffers())
        self._matrices = {f"{name}.weight" for name, part in model.named_modules() if isinstance(part, nn.Linear)}
        self._is_large = sum(parameter.numel() for parameter in self._parameters.values()) >= LEAST_PARAMETERS
        self._shells: list[nn.Module] = []
        self._agrees: bool | None = None  # unknown before the first step that could have lanes

    def __call__(self, inputs: dict[str, Tensor]) -> Tensor:
        """The loss, a float32 scalar (), detached."""
        lanes = self._lanes(inputs)
        if lanes <= 1:
            loss = self._loss(self._model, **inputs)
            loss.backward()
            return loss.detach()
        loss, gradients = self._side_by_side(inputs, lanes)
        for parameter, parts in zip(self._parameters.values(), gradients, strict=True):
            for part in parts:
                if part is None:
                    continue
                if parameter.grad is None:
                    # A copy: what autograd returns may be one number seen as many, or somebody else's gradient too.
                    parameter.grad = part.to(parameter.dtype, copy=True)
                else:
                    parameter.grad.add_(part)
        return loss

    def _lanes(self, inputs: dict[str, Tensor]) -> int:
        """How many lanes a step has: one, which is the plain way, where more are of no use or give other numbers."""
        lanes = min(torch.get_num_threads(), len(inputs["weight"]) // LEAST_ROWS) if self._is_large else 1
        if lanes > 1 and self._agrees is None:
            why = self._disagreement(inputs, lanes)
            self._agrees = why is None
            if why is not None:
                kind = type(self._model).__name__
                logger.warning("%s is trained without lanes, and slower on this processor: in them, %s", kind, why)
        return lanes if self._agrees else 1

    def _disagreement(self, inputs: dict[str, Tensor], lanes: int) -> str | None:
        """Why lanes cannot take the plain way's place; None where a few of a step's rows give the same gradients.

        Nothing is left of the comparison: no gradient, no random number drawn, no statistics of a network's buffers.
        """
        few = {name: values[: COMPARED_ROWS * lanes] for name, values in inputs.items()}
        few["weight"] = torch.ones_like(few["weight"])  # rows that count nothing would agree whatever is computed
        kept = {name: buffer.clone() for name, buffer in self._buffers.items()}
        try:
            with torch.random.fork_rng(devices=[]):
                loss = self._loss(self._model, **few)
                plain = torch.autograd.grad(loss, list(self._parameters.values()), allow_unused=True)
                laned_loss, parts = self._side_by_side(few, lanes)
        except UNFIT as error:
            return f"{type(error).__name__}: {error}".splitlines()[0]
        finally:
            for name, buffer in self._buffers.items():
                buffer.copy_(kept[name])
        laned = [_sum([part for part in each if part is not None]) for each in parts]
        return gradient_difference([loss.detach(), *plain], [laned_loss, *laned], self._dtype)

    def _side_by_side(self, inputs: dict[str, Tensor], lanes: int) -> tuple[Tensor, list[tuple[Tensor | None, ...]]]:
        """The rows' summed loss, and of each parameter the lanes' gradients in the rows' order."""
        weights = self._weights()
        chunks = zip(*(values.chunk(lanes) for values in inputs.values()), strict=True)
        pieces = [
            _Piece(self._shell(lane), weights, dict(zip(inputs, chunk, strict=True)))
            for lane, chunk in enumerate(chunks)
        ]
        losses, gradients = zip(*side_by_side(self._work, pieces, lanes), strict=True)
        return torch.stack(losses).sum(), list(zip(*gradients, strict=True))

    def _weights(self) -> dict[str, Tensor]:
        """What lanes compute with. Autocast would round the matrices once a lane, and widen their gradients."""
        return {
            name: parameter.detach().to(self._dtype).requires_grad_(parameter.requires_grad)
            if name in self._matrices
            else parameter
            for name, parameter in self._parameters.items()
        }

    def _shell(self, lane: int) -> nn.Module:
        """The model without numbers: it is given them for the time of a call, so each lane needs its own."""
        while len(self._shells) <= lane:
            self._shells.append(copy.deepcopy(self._model).to("meta"))
        return self._shells[lane]

    def _work(self, piece: _Piece) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        def model(*arguments: object) -> Tensor:
            losses_B: Tensor = functional_call(piece.shell, {**self._buffers, **piece.weights}, arguments)
            return losses_B

        loss = self._loss(model, **piece.inputs)
        return loss.detach(), torch.autograd.grad(loss, list(piece.weights.values()), allow_unused=True)


def _sum(gradients: list[Tensor]) -> Tensor | None:
    """Of a parameter; None where no lane has a gradient."""
    return torch.stack(gradients).float().sum(dim=0) if gradients else None
