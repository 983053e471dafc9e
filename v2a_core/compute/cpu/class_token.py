"""The last block of a vision transformer, for the one token that becomes the embedding.

Shapes: N images, L tokens, W numbers of a token.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class ClassTokenBlock(nn.Module):
    """open_clip's `ResidualAttentionBlock`, whose only query is the first token.

    Nobody reads the others any more: without them the last of twelve blocks costs a sixth.

    Args:
        block: What it replaces; its layers are used.
    """

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.ln_1, self.attn, self.ls_1 = block.ln_1, block.attn, block.ls_1
        self.ln_2, self.mlp, self.ls_2 = block.ln_2, block.mlp, block.ls_2

    def forward(self, tokens_NLW: torch.Tensor, attn_mask: None = None) -> torch.Tensor:
        """(N, L, W) -> (N, 1, W)."""
        normal_NLW: torch.Tensor = self.ln_1(tokens_NLW)
        seen, _ = self.attn(normal_NLW[:, :1], normal_NLW, normal_NLW, need_weights=False, attn_mask=attn_mask)
        token_N1W: torch.Tensor = tokens_NLW[:, :1] + self.ls_1(seen)
        token_N1W = token_N1W + self.ls_2(self.mlp(self.ln_2(token_N1W)))
        return token_N1W


def keep_class_token(tower: Any) -> None:
    """Replace the last block of an image tower of open_clip, where only the class token is read of it."""
    if type(tower).__name__ != "VisionTransformer" or tower.attn_pool is not None or tower.pool_type != "tok":
        return
    blocks = tower.transformer.resblocks
    if type(blocks[-1]).__name__ == "ResidualAttentionBlock" and blocks[-1].attn.batch_first:
        blocks[-1] = ClassTokenBlock(blocks[-1])
