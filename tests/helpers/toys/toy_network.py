"""A network of mappers of another package: one matrix, for methods without noise."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from v2a_core.config import setting
from v2a_core.mappers.base import MapperNetwork
from v2a_core.mappers.config import NetworkSettings
from v2a_core.mappers.registries import NETWORKS


class LinearSettings(NetworkSettings):
    """What can be set."""

    kind: Literal["linear"] = setting("linear", "the network")
    bias: bool = setting(True, "whether a vector is added")


class LinearNetwork(MapperNetwork):
    """A matrix, and a vector if it is wanted."""

    def __init__(self, embedding_dim: int, vision_dim: int, time_steps: int, settings: LinearSettings) -> None:
        super().__init__(embedding_dim, vision_dim, time_steps, settings)
        if time_steps:
            raise ValueError("mapper.network.kind = linear sees no noise: choose a method without, such as regression")
        self.matrix = nn.Linear(vision_dim, embedding_dim, settings.bias)

    def forward(self, condition_BV: Tensor, noisy_BE: Tensor | None = None, time_B: Tensor | None = None) -> Tensor:
        """Float (B, E)."""
        predicted_BE: Tensor = self.matrix(condition_BV)
        return predicted_BE


NETWORKS.add("linear", LinearNetwork, LinearSettings)
