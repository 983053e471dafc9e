"""Networks whose weights come from a file are built without drawing others first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_DRAWN_IN_PLACE = frozenset({torch.Tensor.normal_, torch.Tensor.uniform_})


class UnsetWeights(TorchFunctionMode):
    """Modules that are built inside have memory for their weights; its content means nothing.

    Unlike on the device `meta`, what a module computes for itself, such as positions, is right; and `meta` draws
    random numbers through torch's compiler, whose import takes longer than the drawing.
    """

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Leave out what torch's initialisers do, and draw nothing."""
        named = kwargs or {}
        if getattr(function, "__module__", None) == "torch.nn.init":
            return args[0] if args else named["tensor"]
        if function in _DRAWN_IN_PLACE:
            return self._undrawn(args[0])
        return self._empty(*args, **named) if function in (torch.empty, torch.randn) else function(*args, **named)

    def _undrawn(self, weights: torch.Tensor) -> torch.Tensor:
        return weights.zero_()  # a truncated normal is drawn again and again until all its numbers are in range

    def _empty(self, *args: Any, **named: Any) -> torch.Tensor:
        return torch.empty(*args, **named)


class Described(UnsetWeights):
    """Modules that are built inside have names and shapes, and no memory: to count weights, or to check a file of them.

    What a module computes for itself is computed: on `meta`, positions would come from torch's compiler.
    """

    def _undrawn(self, weights: torch.Tensor) -> torch.Tensor:
        return weights

    def _empty(self, *args: Any, **named: Any) -> torch.Tensor:
        return torch.empty(*args, **{**named, "device": "meta"})
