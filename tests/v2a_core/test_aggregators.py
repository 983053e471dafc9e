"""Aggregators: from frames to a segment."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2a_core.aggregators import AGGREGATORS


@pytest.mark.parametrize("name", AGGREGATORS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_gives_one_float32_vector(name, dtype):
    frames = np.random.default_rng(0).normal(size=(5, 8)).astype(dtype)
    segment = AGGREGATORS[name](frames, 1)
    assert segment.shape == (8,)
    assert segment.dtype == np.float32


@pytest.mark.parametrize("name", AGGREGATORS)
@given(count=st.integers(1, 20), seed=st.integers(0, 2**63 - 1))
def test_equal_frames_stay_as_they_are(name, count, seed):
    frame = np.linspace(-1, 1, 6, dtype=np.float32)
    np.testing.assert_allclose(AGGREGATORS[name](np.tile(frame, (count, 1)), seed), frame, atol=1e-6)


def test_average_of_half_precision_is_summed_in_single():
    frames = np.full((4096, 1), 20.0, np.float16)  # their sum is beyond float16
    assert AGGREGATORS["average"](frames, 0) == pytest.approx(20.0)


def test_average_ignores_the_order_of_frames():
    frames = np.random.default_rng(0).normal(size=(7, 8)).astype(np.float32)
    np.testing.assert_allclose(AGGREGATORS["average"](frames, 0), AGGREGATORS["average"](frames[::-1], 0), atol=1e-6)


@pytest.mark.parametrize(("count", "index"), [(1, 0), (2, 1), (3, 1), (10, 5)])
def test_middle_takes_the_frame_in_the_middle(count, index):
    frames = np.arange(count, dtype=np.float32)[:, None]
    assert AGGREGATORS["middle"](frames, 0) == index


@given(seed=st.integers(0, 2**63 - 1))
def test_random_takes_one_of_the_frames_by_its_seed(seed):
    frames = np.arange(10, dtype=np.float32)[:, None]
    chosen = AGGREGATORS["random"](frames, seed)
    assert chosen in frames
    assert chosen == AGGREGATORS["random"](frames, seed)


def test_random_reaches_every_frame():
    frames = np.arange(4, dtype=np.float32)[:, None]
    assert {float(AGGREGATORS["random"](frames, seed)[0]) for seed in range(100)} == {0, 1, 2, 3}


@pytest.mark.parametrize("name", AGGREGATORS)
@pytest.mark.parametrize("shape", [(0, 8), (8,), (1, 2, 8)])
def test_refuses_what_is_not_a_list_of_frames(name, shape):
    with pytest.raises(ValueError, match=str(shape[0])):
        AGGREGATORS[name](np.zeros(shape, np.float32), 0)
