"""A checkpoint: everything that a run needs to go on as if it had never stopped.

A folder: the moving average of the weights (what would be exported; `mapper.safetensors` of a mapper),
`best.safetensors` (the best one so far, when that is another), `best.npz` (what the best one's validation left for
pictures), `state.pt` (weights, optimiser,
counters), `metrics.jsonl` and `losses.jsonl` (validations and training losses so far), `facts.json` (what the data
held). The state holds no random state and no scheduler: all random numbers and learning rates come from the seed and
the step; the data's position is the epoch and the step within it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from v2a_core.mappers.export import save_weights, weights_of
from v2a_core.storage.trouble import full_disks_told
from v2a_core.training.history import LossRow, ValidationRow
from v2a_core.training.optimizer import MovingAverage
from v2a_core.training.subject import Facts, Shown

STATE_FILE = "state.pt"
BEST_FILE = "best.safetensors"
ROWS_FILE = "best.npz"
METRICS_FILE = "metrics.jsonl"
LOSSES_FILE = "losses.jsonl"
FACTS_FILE = "facts.json"


@dataclass
class Best:
    """The best state so far: its weights, and what its validation left."""

    weights: dict[str, Tensor]
    shown: Shown


@dataclass(frozen=True)
class InTraining:
    """What changes with each step."""

    model: nn.Module
    average: MovingAverage
    optimizer: torch.optim.Optimizer


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        step: Steps done.
        epoch, index: Epochs done, and steps of the one begun.
        pairs: Rows learned from.
        seconds: Time spent training, over all attempts.
        loss_sum, loss_rows: Training loss since the last validation.
        best_score, best_step: Of the best validation.
        history: The metrics of each validation.
        losses: The training loss every few steps.
    """

    step: int = 0
    epoch: int = 0
    index: int = 0
    pairs: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    loss_rows: int = 0
    best_score: float = -math.inf
    best_step: int = 0
    history: list[ValidationRow] = field(default_factory=list)
    losses: list[LossRow] = field(default_factory=list)

    def validations_since_best(self) -> int:
        """Validations after the best one."""
        return sum(row["step"] > self.best_step for row in self.history)


def save(
    folder: Path,
    file: str,
    training: InTraining,
    progress: Progress,
    best: Best | None,
    facts: Facts,
) -> None:
    """Write a checkpoint into an existing folder.

    Args:
        folder: Where to.
        file: Name of the file of the averaged weights.
        training: What changes with each step.
        progress: How far the run is.
        best: The best state so far.
        facts: Of the data.

    Raises:
        OSError: When it cannot be written, whatever the library that writes a part of it says.
    """
    with full_disks_told(folder / STATE_FILE):
        counters = {name: value for name, value in asdict(progress).items() if name not in ("history", "losses")}
        model, optimizer = training.model.state_dict(), training.optimizer.state_dict()
        torch.save({"model": model, "optimizer": optimizer, "progress": counters}, folder / STATE_FILE)
        save_weights(training.average.model, folder / file)
        if best is not None:
            np.savez(folder / ROWS_FILE, **best.shown)
            if progress.best_step != progress.step:
                safetensors.torch.save_file(best.weights, folder / BEST_FILE)
        tables: tuple[tuple[str, Sequence[ValidationRow | LossRow]], ...]
        tables = ((METRICS_FILE, progress.history), (LOSSES_FILE, progress.losses))
        for name, rows in tables:
            (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        (folder / FACTS_FILE).write_text(json.dumps(asdict(facts), indent=2) + "\n", encoding="utf-8")


def restore(folder: Path, file: str, training: InTraining, device: str) -> tuple[Progress, Best | None]:
    """Take over a checkpoint."""
    state = torch.load(folder / STATE_FILE, map_location=device, weights_only=True)
    training.model.load_state_dict(state["model"])
    training.optimizer.load_state_dict(state["optimizer"])
    training.average.model.load_state_dict(safetensors.torch.load_file(folder / file, device=device))
    progress = Progress(
        **state["progress"], history=read_rows(folder / METRICS_FILE), losses=read_rows(folder / LOSSES_FILE)
    )
    best = None
    if progress.history:
        best = Best(safetensors.torch.load_file(best_weights(folder, file)), load_shown(folder))
    return progress, best


def best_weights(folder: Path, file: str) -> Path:
    """The file of the best state so far; `file` is that of the average."""
    return folder / BEST_FILE if (folder / BEST_FILE).exists() else folder / file


def load_shown(folder: Path) -> Shown:
    """What the validation of the best state left."""
    with np.load(folder / ROWS_FILE) as arrays:
        return {name: arrays[name] for name in arrays.files}


def best_of(model: nn.Module, shown: Shown) -> Best:
    """The model as it is now."""
    return Best({name: tensor.clone() for name, tensor in weights_of(model).items()}, shown)


def read_rows(path: Path) -> list[Any]:
    """The rows of a JSON-lines file: `LossRow`, `ValidationRow`."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
