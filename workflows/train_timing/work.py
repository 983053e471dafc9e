"""The work of the training of a curve predictor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from v2a_core.training.selection import Selection
from workflows.train_timing.config import TimingJob
from workflows.training.work import Here, Work

if TYPE_CHECKING:
    from v2a_core.training.loop import Trainer


@dataclass(frozen=True)
class TimingWork(Work[TimingJob]):
    """See `Work`.

    Attributes:
        selection: Which segments.
        rate: Frames a second that are looked at.
        length_s: Of the longest segment.
    """

    name: ClassVar[str] = "train-timing"
    told: ClassVar[tuple[str, ...]] = (*Work.told, "validation_correlation", "validation_onsets")
    selection: Selection
    rate: int
    length_s: float

    def rows(self) -> dict[str, int]:
        """By split."""
        return self.selection.counts()

    def trainer(self, here: Here) -> Trainer:
        """In a worker: a predictor with its segments."""
        import torch

        from v2a_core.training.columns import load_splits
        from v2a_core.training.distributed import Shard
        from v2a_core.training.predictor import PredictorSubject
        from v2a_core.training.watched import COLUMNS, WatchedSegments

        job, device = self.job, here.device
        reader, shard = WatchedSegments(self.rate, self.length_s, job.pieces.least_cut), Shard(here.rank, here.workers)
        splits = load_splits(self.selection, COLUMNS, reader.read, device=device, shard=shard)
        torch.manual_seed(job.seed)
        batch = job.training.global_batch
        subject = PredictorSubject(splits, job.predictor, job.pieces, rate=self.rate, batch=batch, device=device)
        return self.trainer_of_held(subject, splits.train, here)
