"""The work of the training of a mapper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ray.data import Dataset

from v2a_core.protocols import JSON
from v2a_core.tables.schema import EMBEDDING_DIM
from v2a_core.training.placement import Placement
from v2a_core.training.selection import Selection
from workflows.train.config import TrainJob
from workflows.training.board import EpochNumber
from workflows.training.work import Here, Work

if TYPE_CHECKING:
    from v2a_core.training.data import TrainingData
    from v2a_core.training.feed import Feed
    from v2a_core.training.loop import Trainer


@dataclass(frozen=True)
class TrainWork(Work[TrainJob]):
    """See `Work`.

    Attributes:
        selection: Which rows.
        spaces: Of the embeddings.
        placement: Where the pairs are kept.
        cut: How the embeddings were cut into segments and frames.
    """

    name: ClassVar[str] = "train"
    told: ClassVar[tuple[str, ...]] = (*Work.told, "validation_cosine")
    selection: Selection
    spaces: dict[str, str]
    placement: Placement
    cut: dict[str, JSON]

    @property
    def streams(self) -> bool:
        """Pairs that fit into no memory are read anew each epoch."""
        return self.placement == "stream"

    def stream(self, number: EpochNumber) -> Dataset:
        """The training pairs."""
        from workflows.train.stream import training_rows

        return training_rows(self.selection, self.spaces, self.job.mapper.aggregator, self.job.seed, number)

    def rows(self) -> dict[str, int]:
        """By split."""
        return self.selection.counts()

    def trainer(self, here: Here) -> Trainer:
        """In a worker: a mapper with its pairs."""
        import torch

        from v2a_core.mappers import build
        from v2a_core.training.mapping import mapper_trainer

        job, device = self.job, here.device
        data = self._load(here)
        torch.manual_seed(job.seed)
        return mapper_trainer(
            build(job.mapper, EMBEDDING_DIM, self.selection.vision_dim).to(device),
            data,
            job.training,
            seed=job.seed,
            device=device,
            report=here.report,
            on_progress=here.on_progress,
            feed=self._feed(here),
            scratch=here.scratch,
        )

    def _load(self, here: Here) -> TrainingData:
        from v2a_core.training.data import load
        from v2a_core.training.distributed import Shard

        return load(
            self.selection,
            self.spaces,
            self.job.mapper.aggregator,
            EMBEDDING_DIM,
            device=here.device,
            shard=Shard(here.rank, here.workers) if self.placement == "sharded" else None,
            keep_train=not self.streams,
        )

    def _feed(self, here: Here) -> Feed | None:
        if here.number is None:
            return None
        from v2a_core.training.feed import StreamFeed
        from workflows.train.stream import open_epochs

        batches = open_epochs(self.job.training.global_batch, here.device, here.number)
        return StreamFeed(batches, self.selection.vision_dim, EMBEDDING_DIM, here.device)
