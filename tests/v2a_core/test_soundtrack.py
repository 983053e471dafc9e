from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2a_core import soundtrack

RATE = 1000


@given(st.lists(st.floats(0.05, 12.0), min_size=1, max_size=6), st.floats(0, 0.9), st.floats(0, 2))
def test_windows_cover_the_soundtrack_and_join_to_its_exact_length(lengths, rest, crossfade):
    borders = np.concatenate([[0.0], np.cumsum(lengths)])
    total = float(borders[-1] + rest)
    windows = soundtrack.plan_windows(list(borders[:-1]), total, crossfade)
    assert windows[0].start_s == 0
    assert windows[-1].end_s == pytest.approx(total)
    for left, right in itertools.pairwise(windows):
        assert right.start_s <= left.end_s
        assert left.end_s - right.start_s <= crossfade + 1e-9
    sounds = [np.ones(round(soundtrack.grid_length_s(window.length_s) * RATE), np.float32) for window in windows]
    joined = soundtrack.join(windows, sounds, RATE, total)
    assert len(joined) == round(total * RATE)
    assert joined.min() >= 0.9  # no gap
    assert joined.max() <= 2.0


def test_the_power_of_unrelated_sounds_stays_constant_across_a_border():
    generator = np.random.default_rng(0)
    windows = soundtrack.plan_windows([0.0, 10.0], 20.0, 2.0)
    trials = []
    for _ in range(200):
        sounds = [generator.normal(size=round(window.length_s * RATE)).astype(np.float32) for window in windows]
        trials.append(soundtrack.join(windows, sounds, RATE, 20.0) ** 2)
    power = np.mean(trials, axis=0).reshape(-1, 100).mean(axis=1)
    assert power.min() > 0.9
    assert power.max() < 1.1


def test_a_sound_that_is_too_short_is_refused():
    windows = soundtrack.plan_windows([0.0], 1.0, 0.0)
    with pytest.raises(ValueError, match="needs 1000 samples, its sound has 900"):
        soundtrack.join(windows, [np.zeros(900, np.float32)], RATE, 1.0)


@given(st.floats(0.001, 20))
def test_the_grid_rounds_up_by_less_than_a_step(length):
    on_grid = soundtrack.grid_length_s(length)
    assert length - 1e-5 <= on_grid < length + 0.64 + 1e-5
    assert soundtrack.grid_length_s(on_grid) == on_grid


def test_ten_seconds_and_the_default_crossfade_fill_the_grid_exactly():
    assert soundtrack.grid_length_s(10.24) == 10.24
