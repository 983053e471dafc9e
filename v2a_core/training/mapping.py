"""Mappers in training.

Shapes: V width of a visual embedding, E of an audio embedding.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, cast

import torch
from torch import Generator, Tensor, nn

from v2a_core.mappers.base import MapperModel
from v2a_core.mappers.export import WEIGHTS_FILE
from v2a_core.training.config import TrainingSettings
from v2a_core.training.data import TrainingData
from v2a_core.training.feed import Feed, MemoryFeed
from v2a_core.training.history import ValidationRow
from v2a_core.training.loop import OnProgress, Report, Trainer
from v2a_core.training.subject import Facts, Inputs, Network, Shown, Subject
from v2a_core.training.validation import validate

_EMBEDDINGS = ("condition", "target")


class MapperSubject(Subject):
    """See `Subject`.

    Args:
        model: On its device, freshly made from the run's seed; equal on every worker.
        data: The pairs, on the same device; the validation pairs complete on every worker.
        settings: How it is trained.
        seed: Of the run.
        device: `cpu` or `cuda...`.
    """

    file: ClassVar[str] = WEIGHTS_FILE
    rows_apart: ClassVar[bool] = True

    def __init__(
        self, model: MapperModel, data: TrainingData, settings: TrainingSettings, *, seed: int, device: str
    ) -> None:
        self.model, self.data = model, data
        self.facts, self.graphed = Facts(data.counts, data.left_out), settings.cuda_graph
        self._mapper, self._settings, self._seed, self._device = model, settings, seed, device

    def draws(self, rows: int, generator: Generator) -> Inputs:
        """The method's."""
        return self._mapper.draws(rows, generator)

    def losses(self, network: Network, given: Inputs) -> Tensor:
        """The method's."""
        draws = {name: values for name, values in given.items() if name not in _EMBEDDINGS}
        return network(given["condition"], given["target"], draws)

    def nothing(self) -> Inputs:
        """A pair of zeros."""
        widths = {"condition": self._mapper.vision_dim, "target": self._mapper.embedding_dim}
        return {name: torch.zeros(1, width, device=self._device) for name, width in widths.items()}

    def judge(self, model: nn.Module) -> tuple[ValidationRow, Shown]:
        """Loss, retrieval and distances on the validation pairs, and some rows as they were mapped."""
        judged, rows = validate(
            cast(MapperModel, model),
            self.data.validation,
            self.data.label_names,
            self._settings,
            seed=self._seed,
            device=self._device,
        )
        return judged, dict(vars(rows))

    def compile(self, model: nn.Module) -> None:
        """The network inside of the method."""
        cast(MapperModel, model).network.compile()


def mapper_trainer(
    model: MapperModel,
    data: TrainingData,
    settings: TrainingSettings,
    *,
    seed: int,
    device: str,
    report: Report,
    on_progress: OnProgress | None = None,
    feed: Feed | None = None,
    scratch: Path | None = None,
) -> Trainer:
    """A trainer of a mapper, see `MapperSubject` and `Trainer`; without a feed, training rows are `data.train`."""
    return Trainer(
        MapperSubject(model, data, settings, seed=seed, device=device),
        feed or MemoryFeed(data.train, settings.global_batch, seed=seed, device=device),
        settings,
        rows=len(data.train),
        seed=seed,
        device=device,
        report=report,
        on_progress=on_progress,
        scratch=scratch,
    )
