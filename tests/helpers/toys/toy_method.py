"""A method of mappers of another package: regression that outliers pull less."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from v2a_core.config import setting
from v2a_core.mappers.base import Draws, MapperModel, normalize
from v2a_core.mappers.config import MethodSettings, SamplingSettings
from v2a_core.mappers.registries import METHODS


class RobustSettings(MethodSettings):
    """What can be set."""

    kind: Literal["robust"] = setting("robust", "the method")
    turn: float = setting(1.0, "error above which the loss is no longer squared", gt=0)


class RobustModel(MapperModel):
    """Huber's loss between the predicted and the true embedding, both scaled to unit variance."""

    def __init__(self, embedding_dim: int, vision_dim: int, network: nn.Module, settings: RobustSettings) -> None:
        super().__init__(embedding_dim, vision_dim, network, settings)
        self._turn = settings.turn

    def draws(self, rows: int, generator: Generator) -> Draws:
        """Nothing is random."""
        return {}

    def forward(self, condition_BV: Tensor, target_BE: Tensor, draws: Draws) -> Tensor:
        """The loss of each row, float32 (B,)."""
        predicted_BE = self.network(condition_BV * self.vision_scale).float()
        losses_BE = nn.functional.huber_loss(predicted_BE, target_BE * self.scale, reduction="none", delta=self._turn)
        return losses_BE.mean(dim=-1)

    @torch.no_grad()
    def sample(self, condition_BV: Tensor, seeds: Sequence[int], sampling: SamplingSettings | None = None) -> Tensor:
        """The prediction, L2-normalised float32 (B, E)."""
        return normalize(self.network(condition_BV * self.vision_scale))


METHODS.add("robust", RobustModel, RobustSettings)
