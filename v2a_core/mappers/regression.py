"""Regression: the audio embedding in one step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 (the name everybody uses)
from torch import Generator, Tensor, nn

from v2a_core.config import setting
from v2a_core.mappers.base import Draws, MapperModel, normalize
from v2a_core.mappers.config import MethodSettings, SamplingSettings
from v2a_core.mappers.registries import METHODS


class RegressionSettings(MethodSettings):
    """Predicts the audio embedding directly."""

    kind: Literal["regression"] = setting("regression", "the method")
    loss: Literal["mse", "cosine"] = setting("mse", "squared error, or one minus cosine similarity")


class RegressionModel(MapperModel):
    """Predicts the audio embedding from the visual one.

    Args:
        embedding_dim: Width of an audio embedding.
        vision_dim: Width of a visual embedding.
        network: Called with the scaled condition.
        settings: The loss.
    """

    def __init__(self, embedding_dim: int, vision_dim: int, network: nn.Module, settings: RegressionSettings) -> None:
        super().__init__(embedding_dim, vision_dim, network, settings)
        self._loss = settings.loss

    def draws(self, rows: int, generator: Generator) -> Draws:
        """Nothing is random."""
        return {}

    def forward(self, condition_BV: Tensor, target_BE: Tensor, draws: Draws) -> Tensor:
        """Squared error of the scaled embeddings, mean over E; or one minus cosine similarity."""
        predicted_BE: Tensor = self.network(condition_BV * self.vision_scale).float()
        if self._loss == "cosine":
            return 1.0 - F.cosine_similarity(predicted_BE, target_BE, dim=-1)
        return (predicted_BE - target_BE * self.scale).square().mean(dim=-1)

    @torch.no_grad()
    def sample(self, condition_BV: Tensor, seeds: Sequence[int], sampling: SamplingSettings | None = None) -> Tensor:
        """The prediction, L2-normalised float32 (B, E)."""
        return normalize(self.network(condition_BV * self.vision_scale))


METHODS.add("regression", RegressionModel, RegressionSettings)
