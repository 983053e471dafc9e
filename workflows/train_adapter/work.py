"""The second half of `v2a train-adapter`, as workers do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from v2a_core.models import Bundle
from v2a_core.training.selection import Selection
from workflows.train_adapter.config import AdapterJob
from workflows.training.work import Here, Work

if TYPE_CHECKING:
    from v2a_core.training.loop import Trainer


@dataclass(frozen=True)
class AdapterWork(Work[AdapterJob]):
    """See `Work`.

    Attributes:
        selection: Which sounds.
        bundle: Whose generator is steered.
    """

    name: ClassVar[str] = "train-adapter"
    told: ClassVar[tuple[str, ...]] = (*Work.told, "validation_loss_free")
    selection: Selection
    bundle: Bundle

    def rows(self) -> dict[str, int]:
        """By split."""
        return self.selection.counts()

    def trainer(self, here: Here) -> Trainer:
        """In a worker: an adapter with its sounds, beside the frozen generator."""
        import torch

        from v2a_core.training.adapter import AdapterSubject, sizes_of
        from v2a_core.training.columns import load_splits
        from v2a_core.training.distributed import Shard
        from v2a_core.training.lessons import COLUMNS, Lessons

        job, device, local = self.job, here.device, self.bundle.resolve()
        reader, shard = Lessons(sizes_of(local), job.segments.length_s), Shard(here.rank, here.workers)
        splits = load_splits(self.selection, COLUMNS, reader.read, device=device, shard=shard)
        torch.manual_seed(job.seed)
        batch = job.training.global_batch
        subject = AdapterSubject(local, splits, job.adapter, job.lessons, batch=batch, seed=job.seed, device=device)
        return self.trainer_of_held(subject, splits.train, here)
