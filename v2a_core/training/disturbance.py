"""Curves as they may be given later: smoothed, with onsets read from the level, or without any.

What is followed is drawn by hand or guessed from pictures, and less sharp than the envelope of a sound that is learned
from.

Shapes: B curves, F values.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Generator, Tensor
from torch.nn import functional

from v2a_core.protocols import CURVE_HZ
from v2a_core.timing.envelope import RISE, RISE_FRAMES
from v2a_core.training.adapter_config import DisturbanceSettings


def disturbance_draws(rows: int, generator: Generator) -> dict[str, Tensor]:
    """What decides how each curve is disturbed, 0..1 each."""
    names = ("smooth", "width", "onsets")
    return {name: torch.rand(rows, generator=generator, device=generator.device) for name in names}


def disturbed(
    level_BF: Tensor, onset_BF: Tensor, draws: Mapping[str, Tensor], settings: DisturbanceSettings
) -> tuple[Tensor, Tensor]:
    """Levels and onsets, (B, F) each.

    Args:
        level_BF: As `protocols.Curve.level_F`.
        onset_BF: As `protocols.Curve.onset_F`.
        draws: Of `disturbance_draws`.
        settings: How much.
    """
    level_BF = smoothed(level_BF, draws["smooth"] < settings.smooth_share, draws["width"], settings.widest_s)
    read_B = draws["onsets"] < settings.from_level_share
    unsaid_B = ~read_B & (draws["onsets"] < settings.from_level_share + settings.unsaid_share)
    onset_BF = torch.where(read_B[:, None], rising(level_BF), onset_BF)
    return level_BF, onset_BF * ~unsaid_B[:, None]


def smoothed(level_BF: Tensor, marked_B: Tensor, width_B: Tensor, widest_s: float) -> Tensor:
    """The marked curves through medians of an odd number of values; the widest where `width_B` is 1."""
    most = max(1, round((widest_s * CURVE_HZ - 1) / 2))
    halves_B = torch.where(marked_B, 1 + (width_B * most).long().clamp(max=most - 1), 0)
    found_BF = level_BF.clone()
    for half in halves_B.unique().tolist():
        if half:
            rows_B = halves_B == half
            padded = functional.pad(level_BF[rows_B][:, None], (half, half), mode="replicate")[:, 0]
            found_BF[rows_B] = padded.unfold(1, 2 * half + 1, 1).median(dim=2).values
    return found_BF


def rising(level_BF: Tensor) -> Tensor:
    """Onsets (B, F) where levels rise, as `timing.envelope` reads them from one that nobody gave onsets for."""
    before_BF = functional.pad(level_BF, (RISE_FRAMES, 0))[:, : level_BF.shape[1]]
    above_BF = (level_BF - before_BF) >= RISE
    first_BF = (above_BF & ~functional.pad(above_BF, (1, 0))[:, :-1]).to(level_BF.dtype)
    beside_BF = torch.maximum(functional.pad(first_BF, (1, 0))[:, :-1], functional.pad(first_BF, (0, 1))[:, 1:])
    return torch.maximum(first_BF, 0.5 * beside_BF)
