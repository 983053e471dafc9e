"""What a training is asked to do, and how it ended: what travels between the driver and its workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from v2a_core.protocols import JSON
from v2a_core.storage import StorageAccess
from v2a_core.training.placement import Placement
from v2a_core.training.selection import Selection
from workflows.train.config import TrainJob


@dataclass(frozen=True)
class TrainWork:
    """What a worker needs.

    Attributes:
        selection: Which rows.
        spaces: Of the embeddings.
        job: The configuration.
        placement: Where the pairs are kept.
        output: Folder or URI, the same on every machine.
        cut: How the embeddings were cut into segments and frames.
    """

    selection: Selection
    spaces: dict[str, str]
    job: TrainJob
    placement: Placement
    output: str
    cut: dict[str, JSON]

    def access(self) -> StorageAccess:
        """How files are reached."""
        return StorageAccess.of_job(self.job.storage, self.output, self.job.output_storage)


@dataclass(frozen=True)
class Ended:
    """How a worker's run ended.

    Attributes:
        stopped: Why it ended before its last step, where trying again would not help; None: it did not.
        kind: Of the reason: `patience` is one after which there is a mapper.
        continued_from: The step of the checkpoint that it went on from; 0 without one.
    """

    stopped: str | None
    kind: Literal["patience", "configuration", "diverged", "storage"]
    continued_from: int = 0
