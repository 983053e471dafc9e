"""Forward and backward pass of a training step as one CUDA graph.

The paper's network is small for a large GPU, which takes as long for 64 rows as for 1,000: it waits for Python to
launch one kernel after the other. A graph records the launches once and repeats them in one call, so it gives the same
numbers; shapes, and where tensors lie, are those of the recording.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

WARM_UP = 3  # as torch asks for: what is made on first use must not be recorded


class GraphedGradients:
    """Computes a summed loss and its gradients, which replace the former ones in the parameters' `grad`.

    From the first call on these stay where they are: they may be set to zero, never to None.

    Args:
        model: Whose gradients.
        gradients: Takes the inputs by name, returns the loss, detached, and adds the gradients to the parameters'. It
            must not ask for values, nor depend on anything but the inputs and the parameters.
    """

    def __init__(self, model: nn.Module, gradients: Callable[..., Tensor]) -> None:
        self._model, self._gradients = model, gradients
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: dict[str, Tensor] = {}
        self._loss = torch.empty(0)

    def __call__(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The loss, which the next call overwrites; the inputs' shapes are the first call's."""
        if self._graph is None:
            self._graph = self._record(inputs)
        for name, values in inputs.items():
            self._inputs[name].copy_(values)
        self._graph.replay()
        return self._loss

    def _record(self, inputs: Mapping[str, Tensor]) -> torch.cuda.CUDAGraph:
        self._inputs = {name: values.clone() for name, values in inputs.items()}
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(WARM_UP):
                self._model.zero_grad(set_to_none=True)
                self._gradients(**self._inputs)
        torch.cuda.current_stream().wait_stream(beside)
        # Without gradients from before, the recorded pass makes them in the graph's own memory instead of adding.
        self._model.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._loss = self._gradients(**self._inputs)
        return graph
