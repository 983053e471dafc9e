"""How far a training is, for all who watch it: its terminal, the lease of its output, the cluster's monitoring."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from types import TracebackType

import ray

from v2a_core.outputs.status import UNIT
from v2a_core.protocols import JSON
from workflows.cluster_runtime.series import Run, RunSeries
from workflows.streaming.progress import RunProgress
from workflows.training.board import CHECKPOINT_STEP, CHECKPOINTED_AT, Board

POLL_S = 1.0
_LOSSES = {"training": "train_loss", "validation": "validation_loss"}


class TrainingProgress:
    """What the first worker told last; read by threads, of which one alone adds to it.

    Args:
        total: Steps of the run.
        told: Names of the news that are shown.
    """

    def __init__(self, total: int, told: tuple[str, ...]) -> None:
        self.total, self._told = total, told
        self._news: Mapping[str, object] = {}

    def take(self, news: Mapping[str, object]) -> None:
        """Replace what is known."""
        self._news = news

    def number(self, name: str) -> float | None:
        """A number of the news; None until it is known."""
        value = self._news.get(name)
        return value if isinstance(value, int | float) else None

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self.number("step") or 0)

    def counts(self) -> dict[str, float]:
        """What is shown beside a bar."""
        found = {name: self.number(name) for name in self._told}
        return {name: round(value, 4) for name, value in found.items() if value is not None}

    def lines(self) -> Mapping[str, JSON]:
        """What the lease tells; seconds are those that all runs have trained for, so that they fit the steps."""
        checkpoint = {} if (at := self.number(CHECKPOINT_STEP)) is None else {CHECKPOINT_STEP: int(at)}
        return {
            UNIT: "steps",
            "done": self.step,
            "planned": self.total,
            "elapsed_s": self.number("seconds") or 0.0,
            **self.counts(),
            **checkpoint,
        }


class TrainingSeries(RunSeries):
    """How far a training is, in the cluster's monitoring.

    Args:
        run: Which.
        progress: Says how far it is.
    """

    def __init__(self, run: Run, progress: TrainingProgress) -> None:
        super().__init__(run)
        self._progress = progress
        self._planned = self.gauge("v2a_training_steps_planned", "Steps of the training")
        self._step = self.gauge("v2a_training_steps_done", "Steps done, those of runs before this one too")
        self._loss = self.gauge("v2a_training_loss", "The loss told last", "split")
        self._checkpoint = self.gauge("v2a_last_checkpoint_timestamp_seconds", "When a checkpoint was made last")

    def look(self) -> None:
        """Say how far the run is, now."""
        super().look()
        self._planned.set(self._progress.total)
        self._step.set(self._progress.step)
        self._checkpoint.set(self._progress.number(CHECKPOINTED_AT) or self.started)
        for split, name in _LOSSES.items():
            value = self._progress.number(name)
            if value is not None:
                self._loss.set(value, {"split": split})


class Watch:
    """Asks the board and shows the news while `fit` blocks.

    Args:
        name: Of the job.
        progress: Gets the news.
        board: Where the first worker puts them.
    """

    def __init__(self, name: str, progress: TrainingProgress, board: Board) -> None:
        self._name, self._progress, self._board = name, progress, board
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _show(self) -> None:
        with RunProgress(self._name, self._progress.total, self._progress.counts) as bar:
            ended = False
            while not ended:
                ended = self._stop.wait(POLL_S)  # and once more at the end: the last news come just before it
                with contextlib.suppress(ray.exceptions.RayError):  # the next poll may find it
                    self._progress.take(self._board.news())
                bar.update(self._progress.step)
