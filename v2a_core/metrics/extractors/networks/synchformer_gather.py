"""One token for many: the layer with which both encoders of Synchformer bring patches of a moment together.

Shapes: B moments, N tokens, D numbers of a token.
"""

from __future__ import annotations

import torch
from torch import nn

EPS = 1e-6


class Gather(nn.Module):
    """A layer of a transformer over a token of its own and those that are given; names are torch's for such a layer.

    What it would make of the given tokens is thrown away in the published code, so it is not computed.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.self_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width, EPS), nn.LayerNorm(width, EPS)

    def forward(self, x_BND: torch.Tensor) -> torch.Tensor:
        """(B, N, D) -> (B, D)."""
        own_B1D = self.cls_token.expand(len(x_BND), -1, -1)
        normal_BND = self.norm1(torch.cat([own_B1D, x_BND], dim=1))
        own_B1D = own_B1D + self.self_attn(normal_BND[:, :1], normal_BND, normal_BND, need_weights=False)[0]
        out_B1D = own_B1D + self.linear2(nn.functional.gelu(self.linear1(self.norm2(own_B1D))))
        out_BD: torch.Tensor = out_B1D[:, 0]
        return out_BD
