"""The training loop. It knows nothing of what runs it: it reports through callbacks and asks torch.distributed.

Every random number of a step comes from (seed, step) or (seed, epoch) and is made for the whole global batch, of
which each worker takes its rows. So a run is the same for any number of workers and after any restart.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from v2a_core.mappers.base import MapperModel, take
from v2a_core.training import checkpoint, distributed
from v2a_core.training.config import TrainingSettings
from v2a_core.training.data import TrainingData
from v2a_core.training.optimizer import MovingAverage, build_optimizer, learning_rate
from v2a_core.training.precision import autocast, training_dtype
from v2a_core.training.validation import validate

ORDER_STREAM, DRAW_STREAM = 0, 1
CHECK_STEPS = 20  # asking a GPU for a number stalls it: not every step

Report = Callable[[dict[str, Any], Path | None], None]
OnProgress = Callable[[dict[str, Any]], None]


class DivergedError(RuntimeError):
    """The loss or the gradient is not finite."""


def steps_per_epoch(rows: int, settings: TrainingSettings) -> int:
    """Steps of an epoch; the last one may be smaller: no row is dropped."""
    return math.ceil(rows / settings.global_batch)


def total_steps(rows: int, settings: TrainingSettings) -> int:
    """Steps of a whole run."""
    steps = settings.epochs * steps_per_epoch(rows, settings)
    return steps if settings.max_steps is None else min(steps, settings.max_steps)


class Trainer:
    """Trains a mapper.

    Args:
        model: On its device, freshly made from the run's seed; equal on every worker.
        data: The pairs, on the same device, complete on every worker.
        settings: How.
        seed: Of the run.
        device: `cpu` or `cuda...`.
        report: Called on every worker after each validation, with the metrics and, on the first worker, a folder
            that holds a checkpoint until the call returns.
        on_progress: Called now and then with step, total and loss.

    Attributes:
        continued_from: The step of the checkpoint that the run went on from; 0 without one.
    """

    def __init__(
        self,
        model: MapperModel,
        data: TrainingData,
        settings: TrainingSettings,
        *,
        seed: int,
        device: str,
        report: Report,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._model, self._data, self._settings = model, data, settings
        self._seed, self._device = seed, device
        self._report, self._on_progress = report, on_progress
        self._dtype = training_dtype(settings.precision, device)
        self._wrapped: nn.Module = DistributedDataParallel(model) if distributed.world_size() > 1 else model
        self._optimizer = build_optimizer(model, settings.optimizer)
        self._average = MovingAverage(model, settings.optimizer.ema_decay)
        self._progress = checkpoint.Progress()
        self._epoch_steps = steps_per_epoch(len(data.train), settings)
        self._total = total_steps(len(data.train), settings)
        self._order = torch.empty(0, dtype=torch.long)
        self._epoch = -1
        self.continued_from = 0
        self._rows = 0  # since the last validation, like the loss of this worker's part of them
        self._loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self._norm_sum = torch.zeros((), device=device)

    def run(self, resume: Path | None = None) -> None:
        """Train to the end, from the beginning or from a checkpoint's folder.

        Raises:
            DivergedError: When the loss is not finite any more; checkpoints from before stay.
        """
        if resume is not None:
            self._progress = checkpoint.restore(resume, self._model, self._average, self._optimizer, self._device)
            self.continued_from = self._progress.step
        self._model.train()
        while self._progress.step < self._total:
            started = time.monotonic()
            self._step(self._progress.step)
            self._progress.step += 1
            self._progress.seconds += time.monotonic() - started
            if self._is_evaluation_due():
                self._check_finite()
                self._evaluate()
            elif self._progress.step % CHECK_STEPS == 0:
                self._check_finite()
                self._tell_progress()

    def _step(self, step: int) -> None:
        rows, draws = self._batch(step)
        own = distributed.share(torch.arange(len(rows), device=rows.device))
        weight = distributed.world_size() / len(rows)  # workers' gradients are averaged, rows shall be
        if not len(own):
            own, weight = own.new_zeros(1), 0.0  # nothing left for this worker, but the others wait for its gradient
        parts = torch.split(own, self._settings.micro_batch or len(own))
        for part in parts:
            with self._no_sync(last=part is parts[-1]), autocast(self._device, self._dtype):
                pairs = self._data.train
                losses = self._wrapped(pairs.condition_NE[rows[part]], pairs.target_NE[rows[part]], take(draws, part))
                (losses.sum() * weight).backward()
            if weight:
                self._loss_sum += losses.detach().double().sum()
        self._rows += len(rows)
        self._update(step)

    def _update(self, step: int) -> None:
        self._norm_sum += nn.utils.clip_grad_norm_(self._model.parameters(), self._settings.optimizer.gradient_clip)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(step, self._total, self._settings.optimizer)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._average.update(self._model, step)

    def _batch(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The rows of a step's global batch, and its random numbers."""
        epoch, index = divmod(step, self._epoch_steps)
        if epoch != self._epoch:
            self._epoch = epoch
            order = np.random.default_rng([self._seed, epoch, ORDER_STREAM]).permutation(len(self._data.train))
            self._order = torch.from_numpy(order).to(self._device)
            self._data.train.begin_epoch(self._seed, epoch)
        rows = self._order[index * self._settings.global_batch : (index + 1) * self._settings.global_batch]
        generator = distributed.generator(self._device, self._seed, DRAW_STREAM, step)
        return rows, dict(self._model.draws(len(rows), generator))

    def _no_sync(self, *, last: bool) -> contextlib.AbstractContextManager[None]:
        """Gradients travel once a step, with its last part."""
        if isinstance(self._wrapped, DistributedDataParallel) and not last:
            return self._wrapped.no_sync()
        return contextlib.nullcontext()

    def _is_evaluation_due(self) -> bool:
        step, every = self._progress.step, self._settings.validation.every_epochs * self._epoch_steps
        return step % every == 0 or step == self._total

    def _check_finite(self) -> None:
        # The norm of the averaged gradient is the same on every worker: all stop, or none.
        if not bool(torch.isfinite(self._norm_sum)):
            raise DivergedError(
                f"the gradient is not finite by step {self._progress.step} of {self._total}: lower "
                f"training.optimizer.learning_rate (now {self._settings.optimizer.learning_rate}), or set "
                f"training.precision to fp32 (now {self._settings.precision}). Earlier checkpoints are kept."
            )
        self._norm_sum.zero_()

    def _tell_progress(self) -> None:
        if self._on_progress is not None and distributed.rank() == 0:
            share = distributed.world_size() / max(1, self._rows)
            self._on_progress(
                {"step": self._progress.step, "total_steps": self._total, "train_loss": float(self._loss_sum) * share}
            )

    def _evaluate(self) -> None:
        progress = self._progress
        train_loss = float(distributed.sum_over_workers(self._loss_sum)) / max(1, self._rows)
        self._loss_sum.zero_()
        self._rows = 0
        self._average.swap(self._model)
        judged = validate(
            self._model, self._data.validation, self._settings, seed=self._seed, device=self._device, dtype=self._dtype
        )
        self._average.swap(self._model)
        judged = {"train_loss": train_loss, **judged}
        progress.history.append(self._metrics(judged))
        with tempfile.TemporaryDirectory(prefix="v2a-checkpoint-") as folder:
            if distributed.rank() == 0:
                facts = {"rows": self._data.counts, "left_out": self._data.left_out}
                checkpoint.save(Path(folder), self._model, self._average, self._optimizer, progress, facts)
            self._report(progress.history[-1], Path(folder) if distributed.rank() == 0 else None)

    def _pairs_done(self) -> int:
        epochs, steps = divmod(self._progress.step, self._epoch_steps)
        return epochs * len(self._data.train) + steps * self._settings.global_batch

    def _metrics(self, judged: dict[str, float]) -> dict[str, Any]:
        step, settings = self._progress.step, self._settings
        by_loss = settings.validation.best_by == "loss"
        return {
            "epoch": math.ceil(step / self._epoch_steps),
            "step": step,
            **judged,
            "score": -judged["validation_loss"] if by_loss else judged["validation_cosine"],
            "learning_rate": learning_rate(step - 1, self._total, settings.optimizer),
            "seconds": round(self._progress.seconds, 3),
            "pairs_per_second": round(self._pairs_done() / max(1e-9, self._progress.seconds), 2),
        }
