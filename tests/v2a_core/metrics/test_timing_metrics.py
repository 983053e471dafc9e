"""DeSync, AV-Align, E-L1: closed forms."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2a_core.metrics.av_align import av_align, motion_peaks
from v2a_core.metrics.base import NotMeasuredError
from v2a_core.metrics.desync import chance_s, desync_s, offset_grid
from v2a_core.metrics.event_level import event_l1, level_curve
from v2a_core.metrics.measure import read_rows
from v2a_core.metrics.onsets import by_content


def test_desync_is_the_mean_absolute_offset_of_both_ends():
    assert offset_grid()[[0, 10, 20]].tolist() == [-2, 0, 2]
    first, last = np.eye(21)[[0, 10]], np.eye(21)[[15, 9]]
    np.testing.assert_allclose(desync_s(first, last), [(2 + 1) / 2, (0 + 0.2) / 2])


def test_guessing_the_offset_gives_what_is_known():
    assert chance_s() == pytest.approx(1.0476, abs=5e-5)
    drawn = np.random.default_rng(0).normal(size=(2, 20_000, 21))
    assert desync_s(*drawn).mean() == pytest.approx(chance_s(), abs=0.01)


def test_desync_of_other_logits_is_refused():
    for wrong in (np.zeros((0, 21)), np.zeros((3, 20)), np.zeros(21)):
        with pytest.raises(NotMeasuredError, match=r"\(N, 21\)"):
            desync_s(wrong, wrong)


def test_peaks_of_motion():
    motion = [0.0, 0.5, 0.2, 0.05, 0.09, 0.0, 1.0, 1.0, 0.3, 0.4]
    assert motion_peaks(np.array(motion), 10).tolist() == [0.1]  # 0.09 is too little, a plateau and an end are none
    assert motion_peaks(np.array(motion), 10, least=0.05).tolist() == [0.1, 0.4]
    assert len(motion_peaks(np.ones(2), 10)) == 0


def test_av_align_counts_pairs_within_a_frame():
    assert av_align([0.5, 1.0], [0.52, 2.0], 25) == pytest.approx(1 / 3)
    assert av_align([0.5], [0.54], 25) == 0  # a whole frame apart
    assert av_align([0.5], [0.5], 25) == 1
    assert av_align([], [0.5], 25) == 0
    assert av_align([], [], 25) is None
    assert av_align([0.49, 0.5, 0.51], [0.5], 25) == pytest.approx(1 / 3)  # one peak answers for one onset


@given(st.lists(st.floats(0, 5), max_size=8), st.lists(st.floats(0, 5), max_size=8))
def test_av_align_is_a_share(onsets, peaks):
    found = av_align(onsets, peaks, 8)
    assert found is None or 0 <= found <= 1
    assert av_align(onsets, onsets, 8) in (None, 1)


def test_event_l1_of_constant_levels():
    time = np.arange(22_050) / 22_050
    assert event_l1(np.full(4000, 0.5), np.full(3000, 0.2)) == pytest.approx(0.3)
    tone = np.sin(2 * np.pi * 22_050 / 512 * 8 * time)
    np.testing.assert_allclose(level_curve(tone), np.sqrt(0.5), rtol=1e-6)
    assert len(level_curve(tone)) == 1 + (22_050 - 512) // 128
    assert event_l1(tone, tone) == 0
    assert event_l1(tone, 0 * tone) == pytest.approx(np.sqrt(0.5))


def test_event_l1_of_short_and_empty_sounds():
    assert event_l1(np.ones(128), np.zeros(128)) == pytest.approx(0.5)  # a quarter of a frame
    with pytest.raises(NotMeasuredError, match="not empty"):
        event_l1(np.zeros(0), np.ones(5))


TIMES = st.lists(st.floats(0, 100, width=32), max_size=3)


@given(st.lists(st.tuples(TIMES, TIMES), max_size=8))
def test_rows_are_ordered_as_their_lists_of_onsets(rows):
    made, reference = [made for made, _ in rows], [reference for _, reference in rows]
    places = by_content([np.array(side, np.float32) for side in made], reference)
    assert [rows[place] for place in places] == sorted(rows)


def test_rows_are_read_without_an_object_for_each_number_and_label():
    columns = {
        "status": ["ok", "rejected", "ok", "ok"],
        "verdict": ["a fox", "b", "a fox", None],
        "onsets_s": pa.array([[0.5, 1.0], [2.0], [], None], pa.list_(pa.float32())),
        "level_difference": [0.5, 1.0, float("nan"), None],
    }
    found = read_rows(pa.table(columns))
    assert found["verdict"] == ["a fox", "a fox", None]
    assert found["verdict"][0] is found["verdict"][1]
    assert [None if row is None else row.tolist() for row in found["onsets_s"]] == [[0.5, 1.0], [], None]
    assert found["level_difference"] == [0.5, None, None]
