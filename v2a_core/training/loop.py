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

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from v2a_core.training import checkpoint, distributed
from v2a_core.training.config import LoopSettings
from v2a_core.training.feed import Batch, Feed
from v2a_core.training.graphed import GraphedGradients
from v2a_core.training.history import LossRow, News, ValidationRow, score
from v2a_core.training.lanes import LanedGradients
from v2a_core.training.optimizer import MovingAverage, build_optimizer, clip_gradients, learning_rate
from v2a_core.training.precision import autocast, training_dtype
from v2a_core.training.subject import Inputs, Network, Subject

DRAW_STREAM, OWN_STREAM = 1, 3

Report = Callable[[ValidationRow, Path | None], None]
OnProgress = Callable[[News], None]


class DivergedError(RuntimeError):
    """The loss or the gradient is not finite."""


def steps_per_epoch(rows: int, settings: LoopSettings) -> int:
    """Steps of an epoch; the last one may be smaller: no row is dropped."""
    return math.ceil(rows / settings.global_batch)


def total_steps(rows: int, settings: LoopSettings) -> int:
    """Steps of a whole run."""
    steps = settings.epochs * steps_per_epoch(rows, settings)
    return steps if settings.max_steps is None else min(steps, settings.max_steps)


class Trainer:
    """Trains a network.

    Args:
        subject: What is trained; its network freshly made from the run's seed.
        feed: Where training rows come from.
        settings: How.
        rows: Training rows, over all workers.
        seed: Of the run.
        device: `cpu` or `cuda...`.
        report: Called on every worker after each validation, with the metrics and, on the first worker, a folder that
            holds a checkpoint and is the callee's to delete. Called without new metrics for checkpoints in between.
        on_progress: Called now and then with step, total and loss.
        scratch: Where the folders of checkpoints are made; by default, among the machine's temporary files.

    Attributes:
        continued_from: The step of the checkpoint that the run went on from; 0 without one.
        stopped: Why the run ended before its last step; None when it did not.
    """

    def __init__(
        self,
        subject: Subject,
        feed: Feed,
        settings: LoopSettings,
        *,
        rows: int,
        seed: int,
        device: str,
        report: Report,
        on_progress: OnProgress | None = None,
        scratch: Path | None = None,
    ) -> None:
        model = subject.model
        self._subject, self._model, self._settings, self._feed = subject, model, settings, feed
        self._seed, self._device, self._scratch = seed, device, scratch
        self._report, self._on_progress = report, on_progress
        self._dtype = training_dtype(settings.precision, device)
        if settings.compile:
            subject.compile(model)
        self._wrapped: nn.Module = DistributedDataParallel(model) if distributed.world_size() > 1 else model
        self._optimizer = build_optimizer(model, settings.optimizer)
        # Other workers' gradients arrive while the backward pass runs: no graph then, and no lanes.
        alone = self._wrapped is model and subject.rows_apart
        graphed = alone and subject.graphed and device.startswith("cuda") and not settings.micro_batch
        self._graphed = GraphedGradients(model, self._gradients, self._dtype) if graphed else None
        # What torch.compile makes for a CPU has its number of threads written in.
        laned = alone and device == "cpu" and not settings.compile
        self._laned = LanedGradients(model, self._loss, self._dtype) if laned else None
        self._average = MovingAverage(model, settings.optimizer.ema_decay)
        if settings.compile:
            subject.compile(self._average.model)
        self._state = checkpoint.InTraining(model, self._average, self._optimizer)
        self._progress = checkpoint.Progress()
        self._best: checkpoint.Best | None = None
        self._total = total_steps(rows, settings)
        self.continued_from = 0
        self.stopped: str | None = None
        self._rows = self._steps = 0  # since the last entry of the log, like the sums
        self._loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self._norm_sum = torch.zeros((), device=device)

    def run(self, resume: Path | None = None) -> None:
        """Train to the end, from the beginning or from a checkpoint's folder.

        Raises:
            DivergedError: When the loss is not finite any more; checkpoints from before stay.
        """
        if resume is not None:
            self._progress, self._best = checkpoint.restore(resume, self._subject.file, self._state, self._device)
            self.continued_from = self._progress.step
            self._check_patience()
        self._model.train()
        while not self._is_done():
            self._epoch()
            if self._is_done() or self._progress.epoch % self._settings.validation.every_epochs == 0:
                self._log()
                self._evaluate()

    def _epoch(self) -> None:
        """The steps of an epoch that are left, or as many as the run has left."""
        progress, settings = self._progress, self._settings
        clock = time.monotonic()
        for batch in self._feed.epoch(progress.epoch, progress.index):
            self._step(batch)
            progress.step += 1
            progress.index += 1
            progress.pairs += batch.rows
            progress.seconds += time.monotonic() - clock
            if progress.step % settings.log_every_steps == 0:
                self._log()
            if progress.step == settings.max_steps:
                return
            if settings.checkpoints.every_steps and progress.step % settings.checkpoints.every_steps == 0:
                self._log()
                self._save({"step": progress.step, "epoch": self._epochs()})
            clock = time.monotonic()
        progress.epoch += 1
        progress.index = 0

    def _is_done(self) -> bool:
        progress, settings = self._progress, self._settings
        return (
            self.stopped is not None
            or progress.epoch >= settings.epochs
            or (settings.max_steps is not None and progress.step >= settings.max_steps)
        )

    def _step(self, batch: Batch) -> None:
        generator = distributed.generator(self._device, self._seed, DRAW_STREAM, self._progress.step)
        draws = self._subject.draws(batch.rows, generator)
        # What a network draws for itself, as dropout does: anew for each step and worker, and again after a restart.
        torch.manual_seed(distributed.number(self._seed, OWN_STREAM, self._progress.step, distributed.rank()))
        own = torch.arange(len(batch.places_B), device=batch.places_B.device)
        parts = torch.split(own, self._settings.micro_batch or max(1, len(own))) if len(own) else (own,)
        for part in parts:
            inputs = self._inputs(batch, draws, part)
            if self._graphed is not None and batch.rows == self._settings.global_batch:
                loss = self._graphed(inputs)
            elif self._laned is not None:
                loss = self._laned(inputs)
            else:
                with self._no_sync(last=part is parts[-1]):
                    loss = self._gradients(**inputs)
            self._loss_sum += loss.double() * (batch.rows / distributed.world_size())
        self._rows += batch.rows
        self._steps += 1
        self._update(self._progress.step)

    def _inputs(self, batch: Batch, draws: Inputs, part: Tensor) -> dict[str, Tensor]:
        """What some of this worker's rows are computed from: `weight` is what each counts in the mean of the batch."""
        # Workers' gradients are averaged, rows shall be.
        scale = distributed.world_size() / batch.rows
        if not len(part):
            # Nothing is left for this worker, but the others wait for its gradient: of a row that counts nothing.
            nothing = torch.zeros(1, device=part.device)
            return {**self._subject.nothing(), "weight": nothing, **_take(draws, part.new_zeros(1))}
        weight_B = torch.full((len(part),), scale, device=part.device)
        if batch.weight_B is not None:
            weight_B *= batch.weight_B[part]
        return {**_take(batch.inputs, part), "weight": weight_B, **_take(draws, batch.places_B[part])}

    def _gradients(self, *, weight: Tensor, **given: Tensor) -> Tensor:
        """The rows' share of the batch's loss, detached, after its gradients are added to the parameters'."""
        loss = self._loss(self._wrapped, weight=weight, **given)
        loss.backward()
        return loss.detach()

    def _loss(self, network: Network, *, weight: Tensor, **given: Tensor) -> Tensor:
        with autocast(self._device, self._dtype):
            losses_B = self._subject.losses(network, given)
            return (losses_B * weight).sum()

    def _update(self, step: int) -> None:
        self._norm_sum += clip_gradients(self._model, self._settings.optimizer.gradient_clip)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(step, self._total, self._settings.optimizer)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=self._graphed is None)
        self._average.update(self._model, step)

    def _no_sync(self, *, last: bool) -> contextlib.AbstractContextManager[None]:
        """Gradients travel once a step, with its last part."""
        if isinstance(self._wrapped, DistributedDataParallel) and not last:
            return self._wrapped.no_sync()
        return contextlib.nullcontext()

    def _log(self) -> None:
        """Note the loss since the last entry; stop when it is not finite. Not every step: asking stalls a GPU."""
        if not self._steps:
            return
        progress, norm = self._progress, float(self._norm_sum) / self._steps
        # The norm of the averaged gradient is the same on every worker: all stop, or none.
        if not math.isfinite(norm):
            raise DivergedError(
                f"the gradient is not finite by step {progress.step} of {self._total}: lower "
                f"training.optimizer.learning_rate (now {self._settings.optimizer.learning_rate}), or set "
                f"training.precision to fp32 (now {self._settings.precision}). Earlier checkpoints are kept."
            )
        loss_sum = float(distributed.sum_over_workers(self._loss_sum))
        entry: LossRow = {
            "step": progress.step,
            "train_loss": loss_sum / self._rows,
            "gradient_norm": norm,
            "learning_rate": learning_rate(progress.step - 1, self._total, self._settings.optimizer),
            "pairs": progress.pairs,
            "seconds": round(progress.seconds, 4),
        }
        progress.losses.append(entry)
        progress.loss_sum += loss_sum
        progress.loss_rows += self._rows
        self._loss_sum.zero_()
        self._norm_sum.zero_()
        self._rows = self._steps = 0
        if self._on_progress is not None and distributed.rank() == 0:
            self._on_progress({**entry, "total_steps": self._total})

    def _evaluate(self) -> None:
        progress = self._progress
        averaged = self._average.model
        judged, shown = self._subject.judge(averaged)
        metrics = self._metrics(judged)
        if metrics["score"] > progress.best_score:
            progress.best_score, progress.best_step = metrics["score"], progress.step
            if distributed.rank() == 0:
                self._best = checkpoint.best_of(averaged, shown)
        progress.history.append(metrics)
        progress.loss_sum, progress.loss_rows = 0.0, 0
        self._save(metrics)
        self._check_patience()

    def _check_patience(self) -> None:
        settings, stale = self._settings.validation, self._progress.validations_since_best()
        if settings.patience and stale >= settings.patience:
            self.stopped = (
                f"no better {settings.best_by} in {stale} validations, since step {self._progress.best_step} (now "
                f"{self._progress.step}); the best one is kept"
            )

    def _save(self, metrics: ValidationRow) -> None:
        """Report, with a checkpoint from the first worker."""
        folder = None
        if distributed.rank() == 0:
            folder = Path(tempfile.mkdtemp(prefix="v2a-checkpoint-", dir=self._scratch))
            checkpoint.save(folder, self._subject.file, self._state, self._progress, self._best, self._subject.facts)
        self._report(metrics, folder)

    def _epochs(self) -> int:
        """Epochs done or begun."""
        return self._progress.epoch + (self._progress.index > 0)

    def _metrics(self, judged: ValidationRow) -> ValidationRow:
        progress = self._progress
        # The first worker's, everywhere: a last digit that differs must not make one worker stop and another go on.
        value = score(judged, self._settings.validation.best_by) if distributed.rank() == 0 else 0.0
        value = float(distributed.sum_over_workers(torch.tensor(value, dtype=torch.float64, device=self._device)))
        return {
            "epoch": self._epochs(),
            "step": progress.step,
            "train_loss": progress.loss_sum / max(1, progress.loss_rows),
            **judged,
            "score": value,
            "learning_rate": learning_rate(progress.step - 1, self._total, self._settings.optimizer),
            "seconds": round(progress.seconds, 3),
            "pairs_per_second": round(progress.pairs / max(1e-9, progress.seconds), 2),
        }


def _take(given: Inputs, rows_B: Tensor) -> Inputs:
    return {name: values[rows_B] for name, values in given.items()}
