"""The perceptron of a transformer's block, with the names that timm publishes it under.

Shapes: B clips, N tokens, D width.
"""

from __future__ import annotations

import torch
from torch import nn


class Perceptron(nn.Module):
    """Two layers, four times as wide between them.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x_BND: torch.Tensor) -> torch.Tensor:
        """(B, N, D) -> (B, N, D)."""
        out: torch.Tensor = self.fc2(nn.functional.gelu(self.fc1(x_BND)))
        return out
