"""The part of Synchformer that compares: a transformer over what was seen and heard of fourteen segments.

Shapes: B pairs, V and U tokens of a video and of a sound, N = 2 + V + U, D numbers of a token, A heads, C offsets.
"""

from __future__ import annotations

import torch
from torch import nn

from v2a_core.metrics.desync import OFFSETS, SEGMENTS
from v2a_core.metrics.extractors.networks import synchformer_audio, synchformer_video

_TOKENS = 2 + SEGMENTS * (synchformer_audio.PLACES + synchformer_video.PLACES)


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.key, self.query, self.value, self.proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x_BND: torch.Tensor) -> torch.Tensor:
        """(B, N, D) -> (B, N, D)."""
        q_BAND, k_BAND, v_BAND = (
            part(x_BND).unflatten(-1, (self._heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        mixed_BAND = nn.functional.scaled_dot_product_attention(q_BAND, k_BAND, v_BAND)
        out: torch.Tensor = self.proj(mixed_BAND.transpose(1, 2).flatten(2))
        return out


class _Block(nn.Module):
    """Attention and a perceptron, each added to what it was given, normalised."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = _Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x_BND: torch.Tensor) -> torch.Tensor:
        """(B, N, D) -> (B, N, D)."""
        x_BND = x_BND + self.attn(self.ln1(x_BND))
        out: torch.Tensor = x_BND + self.mlp(self.ln2(x_BND))
        return out


class OffsetTransformer(nn.Module):
    """Says how far a sound is from its video; parameters have the published names."""

    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.OFF_tok = nn.Parameter(torch.zeros(1, 1, width))  # whose place tells the offset
        self.MOD_tok = nn.Parameter(torch.zeros(1, 1, width))  # between video and sound
        self.vis_in_lnorm, self.aud_in_lnorm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.pos_emb_cfg = nn.ParameterDict({"pos_emb": nn.Parameter(torch.zeros(1, _TOKENS, width))})
        self.blocks = nn.Sequential(*[_Block(width, heads) for _ in range(depth)])
        self.ln_f, self.off_head = nn.LayerNorm(width), nn.Linear(width, OFFSETS)

    def forward(self, video_BVD: torch.Tensor, sound_BUD: torch.Tensor) -> torch.Tensor:
        """Tokens of fourteen segments each -> logits (B, C)."""
        offset_B1D, between_B1D = (token.expand(len(video_BVD), -1, -1) for token in (self.OFF_tok, self.MOD_tok))
        parts = [offset_B1D, self.vis_in_lnorm(video_BVD), between_B1D, self.aud_in_lnorm(sound_BUD)]
        tokens_BND = self.blocks(torch.cat(parts, dim=1) + self.pos_emb_cfg["pos_emb"])
        logits_BC: torch.Tensor = self.off_head(self.ln_f(tokens_BND[:, 0]))
        return logits_BC
