"""How long training steps take here: a few real ones, on pairs of random numbers."""

from __future__ import annotations

import itertools
import shutil
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from v2a_core import mappers
from v2a_core.mappers.base import normalize
from v2a_core.mappers.config import MapperSettings
from v2a_core.training.config import TrainingSettings
from v2a_core.training.data import Pairs, TrainingData
from v2a_core.training.loop import Trainer

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
    seen, validation = min(judged, most), training.validation
    short = training.model_copy(
        update={
            "epochs": STEPS,
            "max_steps": STEPS,
            "global_batch": step_rows,
            "compile": False,  # compiling takes a minute, once
            "log_every_steps": 1,
            "validation": validation.model_copy(update={"every_epochs": STEPS, "sampled_rows": seen, "patience": 0}),
            "checkpoints": training.checkpoints.model_copy(update={"every_steps": 0}),
        }
    )
    ends, judged_s = [time.monotonic()], [0.0]

    def report(metrics: dict[str, Any], folder: Path | None) -> None:
        judged_s.append(time.monotonic() - ends[-1])
        if folder is not None:
            shutil.rmtree(folder)

    def pairs(count: int) -> Pairs:
        target, condition = torch.randn(count, embedding_dim), torch.randn(count, vision_dim)
        return Pairs(normalize(target).to(device), normalize(condition).to(device))

    model = mappers.build(mapper, embedding_dim, vision_dim).to(device)
    counts = {"train": step_rows, "validation": seen, "test": 0}
    data = TrainingData(pairs(step_rows), pairs(seen), {}, counts)
    Trainer(
        model, data, short, seed=0, device=device, report=report, on_progress=lambda _: ends.append(time.monotonic())
    ).run()
    laps = [after - before for before, after in itertools.pairwise(ends[1:])]  # the first one warms up
    return StepTimes(statistics.median(laps) * rows / step_rows, judged_s[-1] * judged / seen)
