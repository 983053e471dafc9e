"""The network of the predictor `gru`: frames at even times to levels and onsets at a curve's rate.

Two convolutions over time and a bidirectional GRU of two layers; of each frame, the levels and onsets of the values of
a curve up to the next one. A level is one of 64 steps of the mu-law, with a probability each (as in Video-Foley,
arXiv:2408.11915): how far they spread says how sure it is.

Shapes: B segments, G even times, D numbers of an embedding, M channels of motion, W width, F = G * steps values of a
curve, K levels.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

LEVELS = 64
MOTION_CHANNELS = 2
# Frames of one segment are alike: what changes is made as large as what they share.
_CHANGE_GAIN = 4.0
_LEAST_MOTION = 1e-4


class TimingNetwork(nn.Module):
    """See above.

    Args:
        dim: D.
        steps: Values of a curve in a frame.
        width: W.
        hidden: Of the GRU, in each direction.
        dropout: In training.
    """

    def __init__(self, dim: int, steps: int, width: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.steps = steps
        self.what, self.change = nn.Linear(dim, width), nn.Linear(dim, width)
        self.motion = nn.Linear(MOTION_CHANNELS, width)
        self.first, self.second = (nn.Conv1d(width, width, 5, padding=2) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.dropout = nn.Dropout(dropout)
        self.recurrent = nn.GRU(width, hidden, 2, batch_first=True, bidirectional=True, dropout=dropout)
        self.levels = nn.Linear(2 * hidden, steps * LEVELS)
        self.onsets = nn.Linear(2 * hidden, steps)

    def forward(self, frames_BGD: torch.Tensor, motion_BG: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of the levels (B, F, K) and of the onsets (B, F).

        Args:
            frames_BGD: L2-normalised embeddings.
            motion_BG: How much each frame differs from the one before, 0..1.
        """
        scale = frames_BGD.shape[-1] ** 0.5
        mean_B1D = frames_BGD.mean(dim=1, keepdim=True)
        changes_BGD = (frames_BGD - mean_B1D) * (_CHANGE_GAIN * scale)
        x_BGW = self.what(mean_B1D * scale) + self.change(changes_BGD) + self.motion(_told(motion_BG))
        x_BGW = self.dropout(self.norms[0](x_BGW))
        inner_BWG = functional.gelu(self.first(x_BGW.transpose(1, 2)))
        x_BGW = self.norms[1](x_BGW + self.second(inner_BWG).transpose(1, 2))
        hidden_BGH, _ = self.recurrent(self.dropout(x_BGW))
        hidden_BGH = self.dropout(hidden_BGH)
        return self.levels(hidden_BGH).unflatten(2, (self.steps, LEVELS)).flatten(1, 2), self.onsets(
            hidden_BGH
        ).flatten(1)


def _told(motion_BG: torch.Tensor) -> torch.Tensor:
    """Motion by itself, on a logarithmic scale, and as a multiple of its mean (B, G, M)."""
    absolute_BG = torch.log10(motion_BG + _LEAST_MOTION) + 3
    relative_BG = motion_BG / (motion_BG.mean(dim=1, keepdim=True) + _LEAST_MOTION)
    return torch.stack([absolute_BG, relative_BG.clamp(max=5)], dim=-1)


def level_places(device: torch.device | str = "cpu") -> torch.Tensor:
    """The middles of the levels, 0..1, float32 (K,)."""
    return (torch.arange(LEVELS, device=device) + 0.5) / LEVELS


def told_levels(logits_BFK: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of predicted levels, both (B, F)."""
    chances_BFK = logits_BFK.softmax(dim=-1)
    places_K = level_places(logits_BFK.device)
    mean_BF = (chances_BFK * places_K).sum(dim=-1)
    square_BF = (chances_BFK * places_K.square()).sum(dim=-1)
    return mean_BF, (square_BF - mean_BF.square()).clamp(min=0).sqrt()
