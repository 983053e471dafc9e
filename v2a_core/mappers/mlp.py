"""A residual MLP over the concatenated inputs.

Shapes: B rows, W width of the residual stream, V width of a visual embedding, E of an audio embedding.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 (the name everybody uses)
from torch import Tensor, nn

from v2a_core.config import setting
from v2a_core.mappers.base import MapperNetwork
from v2a_core.mappers.config import NetworkSettings
from v2a_core.mappers.registries import NETWORKS


class MlpSettings(NetworkSettings):
    """Residual layers over the concatenated inputs."""

    kind: Literal["mlp"] = setting("mlp", "the network")
    width: int = setting(1024, "width of the residual stream", ge=8, le=16384)
    # Eleven blocks of this width hold as many parameters as the paper's Transformer.
    depth: int = setting(11, "residual blocks", ge=1, le=128)
    multiplier: int = setting(2, "inner width of a block, in widths", ge=1, le=16)


class MlpNetwork(MapperNetwork):
    """Input: the visual condition and (diffusion only) noisy audio embedding and time, concatenated.

    Args:
        embedding_dim: E.
        vision_dim: V.
        time_steps: Steps of the noise schedule; 0 for a network without time and noisy input.
        settings: Sizes.
    """

    def __init__(self, embedding_dim: int, vision_dim: int, time_steps: int, settings: MlpSettings) -> None:
        super().__init__(embedding_dim, vision_dim, time_steps, settings)
        if time_steps:
            self.time_embedding = nn.Embedding(time_steps, embedding_dim)
        self.project_in = nn.Linear(vision_dim + (2 * embedding_dim if time_steps else 0), settings.width)
        self.blocks = nn.ModuleList(
            ResidualBlock(settings.width, settings.multiplier * settings.width) for _ in range(settings.depth)
        )
        self.norm_out = nn.LayerNorm(settings.width)
        self.project_out = nn.Linear(settings.width, embedding_dim)

    def forward(self, condition_BV: Tensor, noisy_BE: Tensor | None = None, time_B: Tensor | None = None) -> Tensor:
        """Float (B, E).

        Args:
            condition_BV: Visual condition, about unit variance.
            noisy_BE: Noisy audio embedding, about unit variance (diffusion only).
            time_B: Steps of the noise schedule, int64, 0 is clean (diffusion only).
        """
        inputs = [condition_BV]
        if noisy_BE is not None and time_B is not None:
            inputs += [noisy_BE, self.time_embedding(time_B)]
        x_BW = self.project_in(torch.cat(inputs, dim=-1))
        for block in self.blocks:
            x_BW = block(x_BW)
        output: Tensor = self.project_out(self.norm_out(x_BW))
        return output


class ResidualBlock(nn.Module):
    """Norm, widen, SiLU, narrow, around a residual."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, inner)
        self.narrow = nn.Linear(inner, width)

    def forward(self, x_BW: Tensor) -> Tensor:
        """(B, W) to the same shape."""
        output: Tensor = x_BW + self.narrow(F.silu(self.widen(self.norm(x_BW))))
        return output


NETWORKS.add("mlp", MlpNetwork, MlpSettings)
