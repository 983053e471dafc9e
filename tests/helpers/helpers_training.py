"""Trainings that are over in seconds, and workers that fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.samples import Sample

from v2a_core.outputs.status import Status

Worker = Callable[..., Any]

# A mapper that learns a linear world at once.
PERCEPTRON = (
    "mapper.method.kind=regression",
    "mapper.network.kind=mlp",
    "mapper.network.width=64",
    "mapper.network.depth=1",
)

# On the pairs of `helpers_embeddings`, in five steps an epoch.
LINEAR = (
    *PERCEPTRON,
    "training.epochs=3",
    "training.global_batch=64",
    "training.precision=fp32",
    "training.optimizer.learning_rate=0.002",
    "scaling.max_failures=0",
    "scaling.threads=1",
)


@dataclass(frozen=True)
class Watched:
    """A run: its output, what `v2a status` said of it, and what Prometheus would have read when it had ended."""

    output: Path
    summary: dict[str, object]
    seen: list[Status]
    samples: list[Sample]


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
