"""Curves as they may be given later: the same as numpy makes of them, row by row."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import median_filter

from v2a_core.timing.envelope import onset_bumps, rises
from v2a_core.training.adapter_config import DisturbanceSettings
from v2a_core.training.disturbance import disturbance_draws, disturbed, rising, smoothed


def levels(rows: int = 5, frames: int = 90) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(3).random((rows, frames)).astype(np.float32))


def test_medians_are_those_of_scipy_and_only_of_marked_rows() -> None:
    level_BF, marked = levels(), torch.tensor([True, False, True, True, True])
    found = smoothed(level_BF, marked, torch.tensor([0.0, 0.5, 0.99, 1.0, 0.4]), widest_s=0.26)
    widths = [3, 1, 13, 13, 7]
    for row, width in enumerate(widths):
        expected = median_filter(level_BF[row].numpy(), width, mode="nearest")
        np.testing.assert_allclose(found[row], expected, atol=1e-6, err_msg=str(width))


def test_rises_are_those_of_a_table_without_onsets() -> None:
    level_BF = levels()
    for row_F, found_F in zip(level_BF.numpy(), rising(level_BF).numpy(), strict=True):
        np.testing.assert_array_equal(found_F, onset_bumps(rises(row_F), len(row_F)))


def test_what_is_not_asked_for_is_left_alone_and_onsets_may_be_unsaid() -> None:
    level_BF, onset_BF = levels(), (levels() > 0.9).float()
    draws = disturbance_draws(5, torch.Generator().manual_seed(0))
    nothing = DisturbanceSettings(smooth_share=0, from_level_share=0, unsaid_share=0)
    level, onset = disturbed(level_BF, onset_BF, draws, nothing)
    assert torch.equal(level, level_BF)
    assert torch.equal(onset, onset_BF)
    _, onset = disturbed(level_BF, onset_BF, draws, DisturbanceSettings(from_level_share=0, unsaid_share=1))
    assert not onset.any()
    _, onset = disturbed(level_BF, onset_BF, draws, DisturbanceSettings(smooth_share=0, from_level_share=1))
    assert torch.equal(onset, rising(level_BF))
