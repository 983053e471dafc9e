from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2a_core.generators.audioldm.config import TRAINED_S
from v2a_core.generators.windows import JoinSettings, lay_out, window_frames

OVERLAP_S = JoinSettings().overlap_s
# Seconds a latent frame, and how many of them the UNet makes one: audioldm-s and the miniature.
GRIDS = [(0.04, 8), (0.08, 4)]


@given(
    st.lists(st.floats(0.05, 12.0), min_size=1, max_size=6),
    st.floats(0, 0.9),
    st.floats(0, 4),
    st.sampled_from(GRIDS),
)
def test_shares_add_up_to_one_everywhere(lengths, rest, overlap_s, grid):
    frame_s, factor = grid
    borders_s = np.concatenate([[0.0], np.cumsum(lengths)])
    total_s = float(borders_s[-1] + rest)
    layout = lay_out(list(borders_s[:-1]), total_s, frame_s, factor, overlap_s)
    assert layout.frames * frame_s >= total_s - 1e-6
    assert len(layout.windows) == len(layout.borders) - 1 == len(lengths)
    assert len({len(window.weights_H) for window in layout.windows}) == 1
    shares = np.zeros((len(lengths), layout.frames))
    for index, window in enumerate(layout.windows):
        assert window.start % factor == len(window.weights_H) % factor == 0
        assert window.weights_H.min() >= 0
        shares[index, window.start : window.stop] = window.weights_H
    np.testing.assert_allclose(shares.sum(axis=0), 1, atol=1e-6)
    for index, (first, last) in enumerate(itertools.pairwise(layout.borders)):
        far = round(overlap_s / frame_s / 2) + 1
        assert (shares[index, : max(0, first - far)] == 0).all()
        assert (shares[index, last + far :] == 0).all()
        np.testing.assert_array_equal(shares[index, first + far : max(first + far, last - far)], 1)


def test_a_short_last_segment_is_seen_in_a_whole_window():
    layout = lay_out([0.0, 8.0, 16.0], 17.5, 0.04, 8, OVERLAP_S, TRAINED_S)
    last = layout.windows[-1]
    assert last.stop == layout.frames
    assert len(last.weights_H) * 0.04 == pytest.approx(9.6)
    assert (last.weights_H[: 400 - 14 - last.start] == 0).all()


@pytest.mark.parametrize("grid", GRIDS)
def test_ten_seconds_fit_the_grid(grid):
    frame_s, factor = grid
    assert window_frames(10.0, frame_s, factor) * frame_s == pytest.approx(10.24)
    hour = lay_out([10.0 * index for index in range(360)], 3600.0, frame_s, factor, OVERLAP_S, TRAINED_S)
    assert {len(window.weights_H) for window in hour.windows} == {round(TRAINED_S / frame_s)}


@given(st.floats(8.0, 12.0), st.integers(2, 9), st.floats(0, 0.9), st.sampled_from(GRIDS))
def test_windows_are_no_longer_than_the_trained_length_where_segments_are_not(length_s, count, rest_s, grid):
    frame_s, factor = grid
    starts_s = [length_s * index for index in range(count)]
    layout = lay_out(starts_s, length_s * count + rest_s, frame_s, factor, OVERLAP_S, TRAINED_S)
    longest = max(last - first for first, last in itertools.pairwise(layout.borders))
    shares = np.zeros((count, layout.frames))
    for index, window in enumerate(layout.windows):
        assert window.start >= 0
        assert len(window.weights_H) % factor == 0
        assert len(window.weights_H) * frame_s <= TRAINED_S + 1e-6 or longest * frame_s > TRAINED_S
        shares[index, window.start : window.stop] = window.weights_H
    np.testing.assert_allclose(shares.sum(axis=0), 1, atol=1e-6)


def test_ten_seconds_leave_a_quarter_of_a_second_of_the_trained_length_for_each_border():
    layout = lay_out([0.0, 10.0, 20.0], 30.0, 0.04, 8, OVERLAP_S, TRAINED_S)
    for (first, second), border in zip(itertools.pairwise(layout.windows), layout.borders[1:-1], strict=True):
        both = slice(border - 3, border + 3)
        assert (first.weights_H[both.start - first.start : both.stop - first.start] > 0).all()
        assert (second.weights_H[both.start - second.start : both.stop - second.start] > 0).all()


@given(st.floats(0.001, 20), st.sampled_from(GRIDS))
def test_a_window_covers_its_length_with_less_than_a_step_of_the_grid_to_spare(length_s, grid):
    frame_s, factor = grid
    covered_s = window_frames(length_s, frame_s, factor) * frame_s
    assert length_s - 1e-4 <= covered_s < length_s + 0.64 + 1e-4
