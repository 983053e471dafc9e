"""The part of Synchformer that sees: Motionformer with attention divided between time and space.

Sources: M. Patrick et al., Keeping Your Eye on the Ball, NeurIPS 2021, arXiv 2106.05392; divided attention of
G. Bertasius et al., arXiv 2102.05095.

Shapes: B segments, F places in time, P patches of a picture, N = 1 + F x P tokens, D numbers of a token, A heads.
"""

from __future__ import annotations

import torch
from torch import nn

from v2a_core.metrics.extractors.networks.perceptron import Perceptron
from v2a_core.metrics.extractors.networks.synchformer_gather import EPS, Gather
from v2a_core.metrics.extractors.networks.synchformer_inputs import SEGMENT_FRAMES, SIDE

_PATCH, _TUBE = 16, 2  # pixels; frames
PLACES = SEGMENT_FRAMES // _TUBE  # in time
_PATCHES = (SIDE // _PATCH) ** 2


class _DividedAttention(nn.Module):
    """Attention of each token along time or space alone; the first token, for the whole, attends to all."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x_BND: torch.Tensor, *, along_time: bool) -> torch.Tensor:
        """(B, N, D) -> (B, N, D)."""
        attend = nn.functional.scaled_dot_product_attention
        q_BAND, k_BAND, v_BAND = self.qkv(x_BND).unflatten(-1, (3, self._heads, -1)).permute(2, 0, 3, 1, 4)
        whole_BA1D = attend(q_BAND[:, :, :1], k_BAND, v_BAND)
        q, k, v = (self._groups(rest, along_time) for rest in (q_BAND, k_BAND, v_BAND))
        first_k, first_v = (rest[:, :, :1, None].expand(-1, -1, k.shape[2], -1, -1) for rest in (k_BAND, v_BAND))
        mixed = attend(q, torch.cat([first_k, k], dim=3), torch.cat([first_v, v], dim=3))
        others_BAND = (mixed.transpose(2, 3) if along_time else mixed).flatten(2, 3)
        joined_BAND = torch.cat([whole_BA1D, others_BAND], dim=2)
        out_BND: torch.Tensor = self.proj(joined_BAND.transpose(1, 2).flatten(2))
        return out_BND

    def _groups(self, x_BAND: torch.Tensor, along_time: bool) -> torch.Tensor:
        """Without the first token: (B, A, P, F, D) along time, (B, A, F, P, D) along space."""
        grid: torch.Tensor = x_BAND[:, :, 1:].unflatten(2, (PLACES, _PATCHES))
        return grid.transpose(2, 3) if along_time else grid


class _Block(nn.Module):
    """Attention along time, then along space, then a perceptron, each added to what it was given, normalised."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width, EPS) for _ in range(3))
        self.attn, self.timeattn = _DividedAttention(width, heads), _DividedAttention(width, heads)
        self.mlp = Perceptron(width)

    def forward(self, x_BND: torch.Tensor) -> torch.Tensor:
        """(B, N, D) -> (B, N, D)."""
        x_BND = x_BND + self.timeattn(self.norm3(x_BND), along_time=True)
        x_BND = x_BND + self.attn(self.norm1(x_BND), along_time=False)
        out: torch.Tensor = x_BND + self.mlp(self.norm2(x_BND))
        return out


class VideoEncoder(nn.Module):
    """Segments of a video become a token for each two of their frames; parameters have the published names."""

    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + _PATCHES, width))
        self.temp_embed = nn.Parameter(torch.zeros(1, PLACES, width))
        # Of single pictures: the checkpoint holds it, nothing uses it.
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, _PATCH, _PATCH)})
        tube = (_TUBE, _PATCH, _PATCH)
        self.patch_embed_3d = nn.ModuleDict({"proj": nn.Conv3d(3, width, tube, tube)})
        self.blocks = nn.Sequential(*[_Block(width, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(width, EPS)
        self.spatial_attn_agg = Gather(width, heads)

    def forward(self, x_BCFHW: torch.Tensor) -> torch.Tensor:
        """(B, 3, 16, 224, 224), -1 to 1 -> (B, 8, D)."""
        patches_BND = self.patch_embed_3d["proj"](x_BCFHW).flatten(2).transpose(1, 2)
        places_1FPD = self.pos_embed[:, None, 1:] + self.temp_embed[:, :, None]
        whole_B1D = (self.cls_token + self.pos_embed[:, :1]).expand(len(x_BCFHW), -1, -1)
        tokens_BND = self.blocks(torch.cat([whole_B1D, patches_BND + places_1FPD.flatten(1, 2)], dim=1))
        grid_BFPD = self.norm(tokens_BND[:, 1:]).unflatten(1, (PLACES, _PATCHES))
        gathered: torch.Tensor = self.spatial_attn_agg(grid_BFPD.flatten(0, 1)).unflatten(0, (-1, PLACES))
        return gathered
