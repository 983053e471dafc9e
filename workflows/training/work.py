"""What a training is asked to do, and how it ended: what travels between the driver and its workers."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Generic, Literal, TypeVar

from ray.data import Dataset

from v2a_core.storage import StorageAccess
from workflows.training.board import EpochNumber
from workflows.training.config import TrainingJob

if TYPE_CHECKING:  # the driver reads this file, too, and has no need of torch
    from v2a_core.training.feed import Kept
    from v2a_core.training.loop import OnProgress, Report, Trainer
    from v2a_core.training.subject import Subject

JobT = TypeVar("JobT", bound=TrainingJob)


@dataclass(frozen=True)
class Here:
    """What a worker gives to the trainer that it runs.

    Attributes:
        device: Where.
        report: Takes validations and checkpoints.
        on_progress: Takes news.
        scratch: Where folders of checkpoints are made; of the first worker only.
        rank: Of this worker.
        workers: How many there are.
        number: Of the epoch that is read, where rows are streamed.
    """

    device: str
    report: Report
    on_progress: OnProgress
    scratch: Path | None
    rank: int
    workers: int
    number: EpochNumber | None


@dataclass(frozen=True)
class Work(abc.ABC, Generic[JobT]):
    """What a worker needs.

    Attributes:
        name: Of the command.
        told: Names of the news that are shown while it trains.
        job: The configuration.
        output: Folder or URI, the same on every machine.
    """

    name: ClassVar[str]
    told: ClassVar[tuple[str, ...]] = ("epoch", "train_loss", "validation_loss")
    job: JobT
    output: str

    def access(self) -> StorageAccess:
        """How files are reached."""
        return StorageAccess.of_job(self.job.storage, self.output, self.job.output_storage)

    @property
    def streams(self) -> bool:
        """Whether training rows are read anew each epoch, instead of being held."""
        return False

    def stream(self, number: EpochNumber) -> Dataset:
        """The training rows through Ray Data, where they are streamed."""
        raise NotImplementedError

    @abc.abstractmethod
    def rows(self) -> dict[str, int]:
        """Usable rows by split, as far as they are known before they are read."""

    @abc.abstractmethod
    def trainer(self, here: Here) -> Trainer:
        """In a worker: what trains."""

    def trainer_of_held(self, subject: Subject, train: Kept, here: Here) -> Trainer:
        """In a worker: what trains a subject on rows that are held."""
        from v2a_core.training.feed import MemoryFeed
        from v2a_core.training.loop import Trainer

        job, device = self.job, here.device
        return Trainer(
            subject,
            MemoryFeed(train, job.training.global_batch, seed=job.seed, device=device),
            job.training,
            rows=len(train),
            seed=job.seed,
            device=device,
            report=here.report,
            on_progress=here.on_progress,
            scratch=here.scratch,
        )


@dataclass(frozen=True)
class Ended:
    """How a worker's run ended.

    Attributes:
        stopped: Why it ended before its last step, where trying again would not help; None: it did not.
        kind: Of the reason: `patience` is one after which there is something to export.
        continued_from: The step of the checkpoint that it went on from; 0 without one.
    """

    stopped: str | None
    kind: Literal["patience", "configuration", "diverged", "storage"]
    continued_from: int = 0
