"""Training workers that fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Worker = Callable[..., Any]


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
