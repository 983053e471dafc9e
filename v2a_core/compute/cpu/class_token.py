"""The last block of a vision transformer, for the one token that becomes the embedding.

Shapes: N images, L tokens, W numbers of a token.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import nn

from v2a_core.compute.agreement import UNFIT, disagreement, example

logger = logging.getLogger(__name__)


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
    """Replace the last block of an image tower of open_clip, where only the class token is read of it.

    Where the tower is not as this module knows it, it stays as it is, and a warning says why.
    """
    if type(tower).__name__ != "VisionTransformer" or tower.attn_pool is not None or tower.pool_type != "tok":
        return
    blocks = tower.transformer.resblocks
    if type(blocks[-1]).__name__ != "ResidualAttentionBlock" or not blocks[-1].attn.batch_first:
        return
    why = _replace_last(tower)
    if why is not None:
        logger.warning("the last block of %s computes all of its tokens: read for one, %s", type(tower).__name__, why)


def _replace_last(tower: Any) -> str | None:
    """Replace the last block; None when the embedding is the same, else why not: then it is put back."""
    plain, all_blocks = tower.transformer.resblocks[-1], tower.transformer.resblocks

    def embed_with(block: nn.Module, images: torch.Tensor) -> torch.Tensor:
        # The blocks before it change nothing about whether it may be replaced, and are most of the work.
        tower.transformer.resblocks = nn.ModuleList([block])
        try:
            embedding: torch.Tensor = tower(images)
            return embedding
        finally:
            tower.transformer.resblocks = all_blocks

    was_training = tower.training
    try:
        block = ClassTokenBlock(plain).train(was_training)
        images = example((1, 3, *tower.image_size), plain.ln_1.weight.dtype)
    except UNFIT as error:
        return f"{type(error).__name__}: {error}"
    tower.eval()
    why = disagreement(lambda images: embed_with(plain, images), lambda images: embed_with(block, images), images)
    tower.train(was_training)
    if why is None:
        all_blocks[-1] = block
    return why
