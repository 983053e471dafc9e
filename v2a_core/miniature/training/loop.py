"""The loop of the stages that make the bundle: seeded, resumable, with a limit in time, a log and averaged weights."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn

from v2a_core import storage
from v2a_core.compute.precision import choose_dtype
from v2a_core.compute.seeds import segment_seed

CHECKPOINT = "checkpoint.pt"
WEIGHTS = "weights.safetensors"
LOG = "log.jsonl"
DONE = "done.json"
LOG_EVERY = 20


@dataclass(frozen=True)
class Plan:
    """How long and how fast a stage trains.

    Attributes:
        steps: Optimizer steps.
        batch: Examples a step.
        learning_rate: At its peak; falls along a cosine to 2 %.
        restart: Step at which the learning rate rises again, to half its peak; None: never.
        minutes: Limit in time; the learning rate then falls with the time that has passed. None: no limit.
        warmup: Steps until the peak.
        weight_decay: AdamW's.
        betas: AdamW's.
        ema: Weight of the past in the average of weights that is kept.
        validate_every: Steps.
        checkpoint_every_s: Seconds.
    """

    steps: int
    batch: int
    learning_rate: float
    restart: int | None = None
    minutes: float | None = None
    warmup: int = 100
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    ema: float = 0.995
    validate_every: int = 250
    checkpoint_every_s: float = 120.0


class Stage(Protocol):
    """One model's training.

    Attributes:
        plan: How long and how fast.
        modules: What is trained, under the names by which it is saved.
    """

    plan: Plan
    modules: nn.ModuleDict

    def losses(self, step: int, rng: np.random.Generator) -> Mapping[str, torch.Tensor]:
        """Scalar losses () by name; their sum is minimised. `rng` is a function of seed, stage and step."""

    def validate(self) -> Mapping[str, float]:
        """Numbers on the validation split, in eval mode, with averaged weights."""


def run_stage(name: str, stage: Stage, folder: Path, seed: int) -> None:
    """Train, or go on from the last checkpoint; leaves `weights.safetensors` (float32, averaged) and `done.json`."""
    _Run(name, stage, folder, seed).run()


def seed_everything(seed: int, name: str, step: int) -> np.random.Generator:
    """Seed torch's global generator, and give numpy's: from the step, so that a resumed run draws the same."""
    number = segment_seed(seed, f"{name}/{step}", "training")
    torch.manual_seed(number)
    return np.random.default_rng(number)


def autocast() -> torch.autocast:
    """bf16 where the CPU computes in it; where it only emulates it, that would be slower than float32."""
    return torch.autocast("cpu", torch.bfloat16, enabled=choose_dtype("auto", "cpu") == torch.bfloat16)


class _Run:
    def __init__(self, name: str, stage: Stage, folder: Path, seed: int) -> None:
        self.name, self.stage, self.plan, self.folder, self.seed = name, stage, stage.plan, folder, seed
        folder.mkdir(parents=True, exist_ok=True)
        self.parameters = [part for part in stage.modules.parameters() if part.requires_grad]
        self.optimizer = torch.optim.AdamW(
            _groups(stage.modules, self.plan.weight_decay), lr=self.plan.learning_rate, betas=self.plan.betas
        )
        self.average = {key: value.detach().clone() for key, value in stage.modules.state_dict().items()}
        self.step, self.elapsed_s = 0, 0.0
        self.sums: dict[str, float] = {}
        self.summed = 0

    def run(self) -> None:
        self._resume()
        saved_s = mark_s = self.elapsed_s
        clock = time.monotonic()
        while self.step < self.plan.steps and self._progress() < 1:
            self._train_step()
            now = time.monotonic()
            self.elapsed_s, clock = self.elapsed_s + now - clock, now
            if self.step % LOG_EVERY == 0:
                self._log(self._means(), (self.elapsed_s - mark_s) / LOG_EVERY)
                mark_s = self.elapsed_s
            if self.step % self.plan.validate_every == 0:
                self._log(self._validate(), None)
            if self.elapsed_s - saved_s > self.plan.checkpoint_every_s:
                self._checkpoint()
                saved_s = self.elapsed_s
        self._finish()

    def _train_step(self) -> None:
        rng = seed_everything(self.seed, self.name, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.learning_rate * self._schedule()
        self.stage.modules.train()
        losses = self.stage.losses(self.step, rng)
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            raise FloatingPointError(f"{self.name}: the loss of step {self.step} is {total.item()}")
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.step += 1
        self._average()
        for key, value in {"loss": total, **losses}.items():
            self.sums[key] = self.sums.get(key, 0.0) + value.item()
        self.summed += 1

    def _progress(self) -> float:
        """Share of the training that is over, by steps or by time, whichever runs out first."""
        by_time = self.elapsed_s / (60 * self.plan.minutes) if self.plan.minutes else 0.0
        return max(self.step / self.plan.steps, by_time)

    def _schedule(self) -> float:
        start, end, peak = self._fall()
        warm = min(1.0, (self.step - start + 1) / self.plan.warmup)
        by_steps = (self.step - start) / (end - start)
        passed = by_steps if self.plan.minutes is None else max(by_steps, self._progress())
        return peak * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, passed))))

    def _fall(self) -> tuple[int, int, float]:
        """First step, end and relative peak of the present fall of the learning rate."""
        restart = self.plan.restart
        if restart is None:
            return 0, self.plan.steps, 1.0
        return (0, restart, 1.0) if self.step < restart else (restart, self.plan.steps, 0.5)

    @torch.no_grad()
    def _average(self) -> None:
        # Early weights are bad ones: the average forgets them by being short at first.
        keep = min(self.plan.ema, (1 + self.step) / (10 + self.step))
        for key, value in self.stage.modules.state_dict().items():
            if value.is_floating_point():
                self.average[key].lerp_(value, 1 - keep)
            else:
                self.average[key].copy_(value)

    def _validate(self) -> dict[str, float]:
        """Validate the average, then put the weights in training back."""
        current = {key: value.clone() for key, value in self.stage.modules.state_dict().items()}
        self.stage.modules.load_state_dict(self.average)
        self.stage.modules.eval()
        seed_everything(self.seed, self.name, -1)
        with torch.no_grad():
            numbers = {f"validation_{key}": float(value) for key, value in self.stage.validate().items()}
        self.stage.modules.load_state_dict(current)
        return numbers

    def _means(self) -> dict[str, float]:
        means = {key: value / self.summed for key, value in self.sums.items()}
        self.sums, self.summed = {}, 0
        return means

    def _log(self, numbers: Mapping[str, float], seconds: float | None) -> None:
        row = {"step": self.step, **{key: round(value, 5) for key, value in numbers.items()}}
        if seconds is not None:
            row["seconds_per_step"] = round(seconds, 3)
        with (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        shown = " ".join(f"{key} {value:.4g}" for key, value in row.items() if key != "step")
        remaining = self.elapsed_s * (1 / max(self._progress(), 1e-3) - 1) / 60
        print(f"{self.name} {self.step}/{self.plan.steps} {shown} | {remaining:.0f} min left", flush=True)

    def _checkpoint(self) -> None:
        state = {
            "modules": self.stage.modules.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "elapsed_s": self.elapsed_s,
        }
        with storage.writing(str(self.folder / CHECKPOINT)) as path:
            torch.save(state, path)

    def _resume(self) -> None:
        path = self.folder / CHECKPOINT
        if not path.is_file():
            return
        state = torch.load(path, weights_only=True)
        self.stage.modules.load_state_dict(state["modules"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average, self.step, self.elapsed_s = state["average"], state["step"], state["elapsed_s"]
        print(f"{self.name}: going on at step {self.step}", flush=True)

    def _finish(self) -> None:
        from safetensors.torch import save_file

        numbers = self._validate()
        self._log(numbers, None)
        with storage.writing(str(self.folder / WEIGHTS)) as path:
            save_file({key: value.contiguous() for key, value in self.average.items()}, path)
        summary = {"steps": self.step, "minutes": round(self.elapsed_s / 60, 1), **numbers}
        storage.write_json(str(self.folder / DONE), summary)
        (self.folder / CHECKPOINT).unlink(missing_ok=True)


def load_weights(folder: Path, part: str) -> dict[str, torch.Tensor]:
    """The averaged weights of one of a finished stage's modules, float32, each of its shape in the module."""
    from safetensors.torch import load_file

    prefix = f"{part}."
    tensors = load_file(folder / WEIGHTS)
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _groups(modules: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """No decay on vectors: norms and biases."""
    parameters = [part for part in modules.parameters() if part.requires_grad]
    return [
        {"params": [part for part in parameters if part.ndim >= 2], "weight_decay": weight_decay},
        {"params": [part for part in parameters if part.ndim < 2], "weight_decay": 0.0},
    ]
