"""A checkpoint: everything that a run needs to go on as if it had never stopped.

A folder of four files: `mapper.safetensors` (the moving average: what would be exported), `state.pt` (weights,
optimiser, counters), `metrics.jsonl` (the validations so far), `facts.json` (what the data held). There is no random
state in it: all random numbers come from the seed and the step.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from v2a_core.mappers.base import MapperModel
from v2a_core.mappers.export import WEIGHTS_FILE, save_weights
from v2a_core.training.optimizer import MovingAverage

STATE_FILE = "state.pt"
METRICS_FILE = "metrics.jsonl"
FACTS_FILE = "facts.json"


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        step: Steps done.
        seconds: Time spent training, over all attempts.
        history: The metrics of each validation.
    """

    step: int = 0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)


def save(
    folder: Path,
    model: MapperModel,
    average: MovingAverage,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    facts: dict[str, Any],
) -> None:
    """Write a checkpoint into an existing folder."""
    counters = {name: value for name, value in asdict(progress).items() if name != "history"}
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "progress": counters}
    torch.save(state, folder / STATE_FILE)
    average.swap(model)
    save_weights(model, folder / WEIGHTS_FILE)
    average.swap(model)
    lines = [json.dumps(row) + "\n" for row in progress.history]
    (folder / METRICS_FILE).write_text("".join(lines), encoding="utf-8")
    (folder / FACTS_FILE).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def restore(
    folder: Path, model: MapperModel, average: MovingAverage, optimizer: torch.optim.Optimizer, device: str
) -> Progress:
    """Take over a checkpoint."""
    state = torch.load(folder / STATE_FILE, map_location=device, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    averaged = safetensors.torch.load_file(folder / WEIGHTS_FILE, device=device)
    for name, parameter in average.parameters.items():
        parameter.copy_(averaged[name])
    return Progress(**state["progress"], history=read_history(folder / METRICS_FILE))


def read_history(path: Path) -> list[dict[str, Any]]:
    """The rows of a `metrics.jsonl`."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
