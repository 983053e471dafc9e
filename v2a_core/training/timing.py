"""How long training steps take here: a few real ones, on pairs of random numbers."""

from __future__ import annotations

import itertools
import shutil
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from v2a_core import mappers
from v2a_core.mappers.base import normalize
from v2a_core.mappers.config import MapperSettings
from v2a_core.training.config import TrainingSettings
from v2a_core.training.data import Pairs, TrainingData
from v2a_core.training.history import News, ValidationRow
from v2a_core.training.mapping import mapper_trainer

STEPS = 4
# A CPU takes twice as long for twice the rows: it is asked for fewer. A GPU does not, and is asked for all.
CPU_ROWS = 64


@dataclass(frozen=True)
class StepTimes:
    """Seconds of a worker, by what it does.

    Attributes:
        step_s: Of a step.
        validation_s: Of a validation and the checkpoint after it.
    """

    step_s: float
    validation_s: float


def time_steps(
    mapper: MapperSettings,
    training: TrainingSettings,
    *,
    rows: int,
    validation_rows: int,
    vision_dim: int,
    embedding_dim: int,
    device: str,
) -> StepTimes:
    """Measure a few steps and a validation.

    Args:
        mapper: What is trained.
        training: How.
        rows: Of this worker in a step.
        validation_rows: Of the validation split.
        vision_dim: Numbers of a visual embedding.
        embedding_dim: Of an audio embedding.
        device: Where.
    """
    most = CPU_ROWS if device == "cpu" else max(rows, training.validation.sampled_rows)
    step_rows, judged = min(rows, most), min(training.validation.sampled_rows, validation_rows)
    seen = min(judged, most)
    model = mappers.build(mapper, embedding_dim, vision_dim).to(device)
    data = TrainingData(
        _random_pairs(step_rows, embedding_dim, vision_dim, device),
        _random_pairs(seen, embedding_dim, vision_dim, device),
        left_out={},
        counts={"train": step_rows, "validation": seen, "test": 0},
    )
    watch, short = _StopWatch(), _few_steps(training, step_rows, seen)
    mapper_trainer(model, data, short, seed=0, device=device, report=watch.report, on_progress=watch.on_progress).run()
    return StepTimes(watch.step_s() * rows / step_rows, watch.validation_s * judged / seen)


class _StopWatch:
    """Takes the times of a short training."""

    def __init__(self) -> None:
        self._step_ends = [time.monotonic()]
        self.validation_s = 0.0

    def on_progress(self, news: News) -> None:
        """A step has ended."""
        self._step_ends.append(time.monotonic())

    def report(self, metrics: ValidationRow, folder: Path | None) -> None:
        """The validation has ended, and its checkpoint is written."""
        self.validation_s = time.monotonic() - self._step_ends[-1]
        if folder is not None:
            shutil.rmtree(folder)

    def step_s(self) -> float:
        """The median; the first step warms up."""
        return statistics.median(after - before for before, after in itertools.pairwise(self._step_ends[1:]))


def _few_steps(training: TrainingSettings, step_rows: int, validation_rows: int) -> TrainingSettings:
    """A training of `STEPS` steps, of which each is told, and one validation after them."""
    validation = {"every_epochs": STEPS, "sampled_rows": validation_rows, "patience": 0}
    return training.model_copy(
        update={
            "epochs": STEPS,
            "max_steps": STEPS,
            "global_batch": step_rows,
            "compile": False,  # compiling takes a minute, once
            "log_every_steps": 1,
            "validation": training.validation.model_copy(update=validation),
            "checkpoints": training.checkpoints.model_copy(update={"every_steps": 0}),
        }
    )


def _random_pairs(count: int, embedding_dim: int, vision_dim: int, device: str) -> Pairs:
    target, condition = torch.randn(count, embedding_dim), torch.randn(count, vision_dim)
    return Pairs(normalize(target).to(device), normalize(condition).to(device))
