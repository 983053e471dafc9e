"""Forward and backward pass of a training step as one CUDA graph.

The paper's network is small for a large GPU, which takes as long for 64 rows as for 1,000: it waits for Python to
launch one kernel after the other. A graph records the launches once and repeats them in one call, so it gives the same
numbers; shapes, and where tensors lie, are those of the recording.

What is not a kernel is not repeated: a number that Python computes anew each step stays that of the recording. So a new
graph is compared with the plain way on inputs that it was not recorded with, and is not used where it differs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from v2a_core.compute.agreement import UNFIT, gradient_difference

logger = logging.getLogger(__name__)

WARM_UP = 3  # as torch asks for: what is made on first use must not be recorded


class GraphedGradients:
    """Computes a summed loss and its gradients, which replace the former ones in the parameters' `grad`.

    From the first call on these stay where they are: they may be set to zero, never to None.

    Args:
        model: Whose gradients.
        gradients: Takes the inputs by name, returns the loss, detached, and adds the gradients to the parameters'. It
            must not ask for values, nor depend on anything but the inputs and the parameters.
        dtype: Format of matrix products in `gradients`.
    """

    def __init__(self, model: nn.Module, gradients: Callable[..., Tensor], dtype: torch.dtype) -> None:
        self._model, self._gradients, self._dtype = model, gradients, dtype
        self._graph: torch.cuda.CUDAGraph | None = None
        self._agrees: bool | None = None  # unknown before the first call
        self._inputs: dict[str, Tensor] = {}
        self._loss = torch.empty(0)

    def __call__(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The loss, a scalar (), which the next call overwrites; the inputs' shapes are the first call's."""
        if self._agrees is None:
            self._set_up(inputs)
        if self._graph is None:
            self._model.zero_grad(set_to_none=False)
            return self._gradients(**inputs)
        return self._replay(self._graph, inputs)

    def _replay(self, graph: torch.cuda.CUDAGraph, inputs: Mapping[str, Tensor]) -> Tensor:
        for name, values in inputs.items():
            self._inputs[name].copy_(values)
        graph.replay()
        return self._loss

    def _set_up(self, inputs: Mapping[str, Tensor]) -> None:
        """Record, compare, and keep the graph where it gives what the plain way gives."""
        self._inputs = {name: values.clone() for name, values in inputs.items()}
        # Rows of the same numbers in other pairs: of each input, the rows begin at another place.
        others = {name: values.roll(place, 0) for place, (name, values) in enumerate(inputs.items(), start=1)}
        expected = self._warm_up(others)
        try:
            graph = self._record()
            loss = self._replay(graph, others)
            why = gradient_difference(expected, [loss, *self._found()], self._dtype)
        except UNFIT as error:
            why = f"{type(error).__name__}: {error}".splitlines()[0]
        self._agrees = why is None
        if why is None:
            self._graph = graph
            return
        self._model.zero_grad(set_to_none=True)  # what the recording made lies in memory of the graph
        kind = type(self._model).__name__
        logger.warning("%s is trained without a CUDA graph, and slower on a large GPU: from it, %s", kind, why)

    def _found(self) -> list[Tensor | None]:
        return [parameter.grad for parameter in self._model.parameters()]

    def _warm_up(self, others: Mapping[str, Tensor]) -> list[Tensor | None]:
        """Run the plain way some times; its loss and its gradients of the other inputs."""
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for inputs in (*[self._inputs] * (WARM_UP - 1), others):
                self._model.zero_grad(set_to_none=True)
                loss = self._gradients(**inputs)
        torch.cuda.current_stream().wait_stream(beside)
        return [loss, *self._found()]

    def _record(self) -> torch.cuda.CUDAGraph:
        # Without gradients from before, the recorded pass makes them in the graph's own memory instead of adding.
        self._model.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._loss = self._gradients(**self._inputs)
        return graph
