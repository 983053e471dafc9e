"""The paper's network: a small causal Transformer over four tokens, read out at a learned query.

Shapes: B rows, L tokens, M = L + 1 keys (the learned null key comes first), H heads, D width of a head, W width of a
token, V width of a visual embedding, E of an audio embedding.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 (the name everybody uses)
from torch import Tensor, nn

from v2a_core.config import setting
from v2a_core.mappers.base import MapperNetwork
from v2a_core.mappers.config import NetworkSettings
from v2a_core.mappers.registries import NETWORKS

BIAS_BUCKETS = 32
BIAS_MAX_DISTANCE = 128
ROTARY_DIM = 32
ROTARY_BASE = 10_000.0
COSINE_SCALE = 16.0


class TransformerSettings(NetworkSettings):
    """A causal Transformer over a handful of tokens, read out at a learned query."""

    kind: Literal["transformer"] = setting("transformer", "the network")
    width: int = setting(512, "width of a token", ge=8, le=8192)
    depth: int = setting(12, "blocks", ge=1, le=128)
    heads: int = setting(12, "query heads; they share one key and value head", ge=1, le=128)
    head_dim: int = setting(64, "width of a head", ge=2, le=512, multiple_of=2)
    feed_forward_multiplier: int = setting(4, "inner width of the feed-forward part, in widths", ge=1, le=16)


class TransformerNetwork(MapperNetwork):
    """Tokens: visual condition, then (diffusion only) time and noisy audio embedding, then the learned query.

    The design is that of the published diffusion prior (lucidrains/DALLE2-pytorch) that the paper builds on: pre-norm
    blocks of multi-query cosine-similarity attention with a learned null key and value, rotary positions, one T5
    relative bias for all blocks, SwiGLU feed-forward with a norm after the activation, a norm before the output
    projection. Two things of the prior are left out. Its 77 null text tokens (39,424 parameters) stand for a text
    encoding that does not exist here: the same constants in every row, at twenty times the cost. Its null
    embedding for the noisy input (512) hides what is to be denoised; guidance needs the null condition only, which
    belongs to the diffusion method.

    Only the query is read, so the last block computes its row alone.

    Args:
        embedding_dim: E.
        vision_dim: V.
        time_steps: Steps of the noise schedule; 0 for a network without time and noisy input.
        settings: Sizes.
    """

    def __init__(self, embedding_dim: int, vision_dim: int, time_steps: int, settings: TransformerSettings) -> None:
        super().__init__(embedding_dim, vision_dim, time_steps, settings)
        width = settings.width
        tokens = 4 if time_steps else 2
        self.condition_in = _widen(vision_dim, width)
        if time_steps:
            self.noisy_in = _widen(embedding_dim, width)
            self.time_embedding = nn.Embedding(time_steps, width)
        self.query = nn.Parameter(torch.randn(width))
        self.bias = RelativeBias(tokens, settings.heads)
        self.blocks = nn.ModuleList(Block(tokens, settings) for _ in range(settings.depth))
        self.norm_out = nn.LayerNorm(width, bias=False)
        self.project_out = nn.Linear(width, embedding_dim, bias=False)

    def forward(self, condition_BV: Tensor, noisy_BE: Tensor | None = None, time_B: Tensor | None = None) -> Tensor:
        """The output at the query, float (B, E).

        Args:
            condition_BV: Visual condition, about unit variance.
            noisy_BE: Noisy audio embedding, about unit variance (diffusion only).
            time_B: Steps of the noise schedule, int64, 0 is clean (diffusion only).
        """
        tokens = [self.condition_in(condition_BV)]
        if noisy_BE is not None and time_B is not None:
            tokens += [self.time_embedding(time_B), self.noisy_in(noisy_BE)]
        tokens.append(self.query.expand(len(condition_BV), -1))
        x_BLW = torch.stack(tokens, dim=1)
        bias_LHM = self.bias()
        last = len(self.blocks) - 1
        for index, block in enumerate(self.blocks):
            x_BLW = block(x_BLW, bias_LHM, queries=1 if index == last else x_BLW.shape[1])
        output: Tensor = self.project_out(self.norm_out(x_BLW[:, -1]))
        return output


class Block(nn.Module):
    """Attention and feed-forward, each around a residual."""

    def __init__(self, tokens: int, settings: TransformerSettings) -> None:
        super().__init__()
        self.attention = Attention(tokens, settings)
        self.feed_forward = FeedForward(settings.width, settings.feed_forward_multiplier * settings.width)

    def forward(self, x_BLW: Tensor, bias_LHM: Tensor, queries: int) -> Tensor:
        """The last `queries` tokens after the block, (B, queries, W)."""
        x_BLW = x_BLW[:, -queries:] + self.attention(x_BLW, bias_LHM[-queries:], queries)
        output: Tensor = x_BLW + self.feed_forward(x_BLW)
        return output


class Attention(nn.Module):
    """Causal cosine-similarity attention: many query heads, one key and value head (Shazeer 2019, arXiv:1911.02150).

    The score of a query and a key is `16 * cos(q, k) + bias`.
    """

    def __init__(self, tokens: int, settings: TransformerSettings) -> None:
        super().__init__()
        self.heads, self.head_dim = settings.heads, settings.head_dim
        inner = settings.heads * settings.head_dim
        self.norm = nn.LayerNorm(settings.width, bias=False)
        self.to_query = nn.Linear(settings.width, inner, bias=False)
        self.to_key_value = nn.Linear(settings.width, 2 * settings.head_dim, bias=False)
        self.null_key_value = nn.Parameter(torch.randn(2, settings.head_dim))
        self.rotary = Rotary(tokens, settings.head_dim)
        self.to_out = nn.Linear(inner, settings.width, bias=False)
        self.norm_out = nn.LayerNorm(settings.width, bias=False)

    def forward(self, x_BLW: Tensor, bias_LHM: Tensor, queries: int) -> Tensor:
        """What the last `queries` tokens gather, (B, queries, W)."""
        rows = len(x_BLW)
        x_BLW = self.norm(x_BLW)
        query_BLHD = self.to_query(x_BLW[:, -queries:]).unflatten(-1, (self.heads, self.head_dim))
        key_BLD, value_BLD = self.to_key_value(x_BLW).chunk(2, dim=-1)
        query_BLHD = self.rotary(query_BLHD.transpose(1, 2)).transpose(1, 2)
        null_key, null_value = self.null_key_value.to(key_BLD.dtype).expand(rows, 2, -1).chunk(2, dim=1)
        key_BMD = F.normalize(torch.cat([null_key, self.rotary(key_BLD)], dim=1), dim=-1)
        value_BMD = torch.cat([null_value, value_BLD], dim=1)
        # One key head: the heads are further rows of one matrix product, nothing is repeated or transposed.
        query_BND = F.normalize(query_BLHD, dim=-1).flatten(1, 2)
        scores_BNM = COSINE_SCALE * (query_BND @ key_BMD.transpose(1, 2))
        weights_BNM = (scores_BNM + bias_LHM.flatten(0, 1)).softmax(dim=-1)
        gathered_BLN = (weights_BNM.to(value_BMD.dtype) @ value_BMD).reshape(rows, queries, -1)
        output: Tensor = self.norm_out(self.to_out(gathered_BLN))
        return output


class FeedForward(nn.Module):
    """SwiGLU (Shazeer 2020, arXiv:2002.05202), with a norm after the activation (arXiv:2110.09456)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, bias=False)
        self.to_inner = nn.Linear(width, 2 * inner, bias=False)
        self.norm_inner = nn.LayerNorm(inner, bias=False)
        self.to_out = nn.Linear(inner, width, bias=False)

    def forward(self, x_BLW: Tensor) -> Tensor:
        """(B, L, W) to the same shape."""
        value, gate = self.to_inner(self.norm(x_BLW)).chunk(2, dim=-1)
        output: Tensor = self.to_out(self.norm_inner(value * F.silu(gate)))
        return output


class Rotary(nn.Module):
    """Rotary positions (arXiv:2104.09864) on the first 32 numbers of a head."""

    cos: Tensor
    sin: Tensor

    def __init__(self, tokens: int, head_dim: int) -> None:
        super().__init__()
        self.dim = min(ROTARY_DIM, head_dim)
        frequencies = ROTARY_BASE ** (-torch.arange(0, self.dim, 2).float() / self.dim)
        angles = torch.arange(tokens).float()[:, None] * frequencies
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Turn (..., L, D); fewer tokens than L are the last ones."""
        cos, sin = self.cos[-x.shape[-2] :], self.sin[-x.shape[-2] :]
        first, second = x[..., : self.dim].float().chunk(2, dim=-1)
        turned = torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
        return torch.cat([turned.to(x.dtype), x[..., self.dim :]], dim=-1)


class RelativeBias(nn.Module):
    """T5's relative position bias (arXiv:1910.10683), masked causally; the null key stands before all tokens."""

    buckets: Tensor
    future: Tensor

    def __init__(self, tokens: int, heads: int) -> None:
        super().__init__()
        self.table = nn.Embedding(BIAS_BUCKETS, heads)
        distance_LM = torch.arange(tokens)[:, None] - (torch.arange(tokens + 1) - 1)
        self.register_buffer("buckets", _buckets(distance_LM.clamp(min=0)), persistent=False)
        self.register_buffer("future", distance_LM < 0, persistent=False)

    def forward(self) -> Tensor:
        """What is added to the scores, float (L, H, M); minus infinity for keys in the future."""
        bias_LMH: Tensor = self.table(self.buckets)
        return bias_LMH.transpose(1, 2).masked_fill(self.future[:, None], -math.inf)


def _widen(width: int, to: int) -> nn.Module:
    return nn.Identity() if width == to else nn.Linear(width, to, bias=False)


def _buckets(distance: Tensor) -> Tensor:
    """T5's buckets: the first half exact, the rest logarithmic up to 128."""
    exact = BIAS_BUCKETS // 2
    ratio = torch.log(distance.clamp(min=1) / exact) / math.log(BIAS_MAX_DISTANCE / exact)
    far = (exact + (ratio * (BIAS_BUCKETS - exact)).long()).clamp(max=BIAS_BUCKETS - 1)
    return torch.where(distance < exact, distance, far)


NETWORKS.add("transformer", TransformerNetwork, TransformerSettings)
