"""Trainings that are over in seconds, and workers that fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Worker = Callable[..., Any]

# A mapper that learns a linear world at once.
PERCEPTRON = (
    "mapper.method.kind=regression",
    "mapper.network.kind=mlp",
    "mapper.network.width=64",
    "mapper.network.depth=1",
)


def diverging(worker: Worker) -> Worker:
    """A worker whose data turn to NaN after its first validation."""

    def diverges(*work: Any) -> Any:  # nested, so that it travels to the worker by value
        from v2a_core.training.loop import Trainer

        evaluate = Trainer._evaluate

        def evaluate_then_break(self: Trainer) -> None:
            evaluate(self)
            self._subject.data.train.target_NE.fill_(float("nan"))

        Trainer._evaluate = evaluate_then_break
        return worker(*work)

    return diverges
