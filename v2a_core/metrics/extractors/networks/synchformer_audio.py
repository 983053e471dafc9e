"""The part of Synchformer that hears: the Audio Spectrogram Transformer.

Source: Y. Gong et al., AST: Audio Spectrogram Transformer, Interspeech 2021, arXiv 2104.01778.

Shapes: B segments, M mel bands, F spectra, P = 12 places in frequency, Q = 6 in time, N = 2 + P x Q tokens, D numbers
of a token, A heads.
"""

from __future__ import annotations

import torch
from torch import nn

from v2a_core.metrics.extractors.networks.synchformer_gather import Gather
from v2a_core.metrics.extractors.networks.synchformer_inputs import MEL_BANDS, MEL_FRAMES

_PATCH, _STRIDE = 16, 10
_BANDS, PLACES = ((size - _PATCH) // _STRIDE + 1 for size in (MEL_BANDS, MEL_FRAMES))
_EPS = 1e-12


class _Embeddings(nn.Module):
    """Patches become tokens, behind two for the whole, each with its place."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.distillation_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position_embeddings = nn.Parameter(torch.zeros(1, 2 + _BANDS * PLACES, width))
        self.patch_embeddings = nn.ModuleDict({"projection": nn.Conv2d(1, width, _PATCH, _STRIDE)})

    def forward(self, x_BMF: torch.Tensor) -> torch.Tensor:
        """(B, M, F) -> (B, N, D)."""
        patches_BND = self.patch_embeddings["projection"](x_BMF[:, None]).flatten(2).transpose(1, 2)
        first_B2D = torch.cat([self.cls_token, self.distillation_token], dim=1).expand(len(x_BMF), -1, -1)
        return torch.cat([first_B2D, patches_BND], dim=1) + self.position_embeddings


class _Layer(nn.Module):
    """Attention and a perceptron, each added to what it was given, normalised."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.layernorm_before, self.layernorm_after = nn.LayerNorm(width, _EPS), nn.LayerNorm(width, _EPS)
        parts = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")})
        self.attention = nn.ModuleDict({"attention": parts, "output": _dense(width, width)})
        self.intermediate, self.output = _dense(width, 4 * width), _dense(4 * width, width)

    def forward(self, x_BND: torch.Tensor) -> torch.Tensor:
        """(B, N, D) -> (B, N, D)."""
        x_BND = x_BND + self._attend(self.layernorm_before(x_BND))
        wide = nn.functional.gelu(self.intermediate["dense"](self.layernorm_after(x_BND)))
        out: torch.Tensor = x_BND + self.output["dense"](wide)
        return out

    def _attend(self, x_BND: torch.Tensor) -> torch.Tensor:
        parts = self.attention.get_submodule("attention")
        q_BAND, k_BAND, v_BAND = (
            parts.get_submodule(name)(x_BND).unflatten(-1, (self._heads, -1)).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        mixed_BAND = nn.functional.scaled_dot_product_attention(q_BAND, k_BAND, v_BAND)
        out: torch.Tensor = self.attention.get_submodule("output.dense")(mixed_BAND.transpose(1, 2).flatten(2))
        return out


class AudioEncoder(nn.Module):
    """Segments of a sound become a token for each of six places in time; parameters have the published names."""

    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        layers = nn.ModuleDict({"layer": nn.Sequential(*[_Layer(width, heads) for _ in range(depth)])})
        self.ast = nn.ModuleDict(
            {"embeddings": _Embeddings(width), "encoder": layers, "layernorm": nn.LayerNorm(width, _EPS)}
        )
        self.freq_attn_agg = Gather(width, heads)

    def forward(self, x_BMF: torch.Tensor) -> torch.Tensor:
        """(B, M, F) -> (B, Q, D)."""
        tokens_BND = self.ast.get_submodule("encoder.layer")(self.ast["embeddings"](x_BMF))
        grid_BPQD = self.ast["layernorm"](tokens_BND)[:, 2:].unflatten(1, (_BANDS, PLACES))
        moments = grid_BPQD.transpose(1, 2).flatten(0, 1)
        gathered: torch.Tensor = self.freq_attn_agg(moments).unflatten(0, (-1, PLACES))
        return gathered


def _dense(size: int, out: int) -> nn.ModuleDict:
    return nn.ModuleDict({"dense": nn.Linear(size, out)})
