"""Aggregators: from frames to a segment."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2a_core.config import ConfigError, load
from v2a_core.mappers.aggregators import aggregate, epoch_seeds, places_of, together
from v2a_core.mappers.config import MapperSettings
from v2a_core.mappers.registries import AGGREGATORS

SEED = np.zeros(1, np.uint64)


def one(name: str, frames: np.ndarray, seed: int = 0) -> np.ndarray:
    return aggregate(name, *together([frames]), np.array([seed], np.uint64))[0]


@pytest.mark.parametrize("name", AGGREGATORS.names())
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_gives_one_float32_vector_a_segment(name, dtype):
    random = np.random.default_rng(0)
    frames = [random.normal(size=(count, 8)).astype(dtype) for count in (5, 1, 9)]
    segments = aggregate(name, *together(frames), np.array([1, 2, 3], np.uint64))
    assert segments.shape == (3, 8)
    assert segments.dtype == np.float32
    # A segment is what it is alone.
    for number in range(3):
        np.testing.assert_array_equal(segments[number], one(name, frames[number], number + 1))


@pytest.mark.parametrize("name", AGGREGATORS.names())
@given(count=st.integers(1, 20), seed=st.integers(0, 2**63 - 1))
def test_equal_frames_stay_as_they_are(name, count, seed):
    frame = np.linspace(-1, 1, 6, dtype=np.float32)
    np.testing.assert_allclose(one(name, np.tile(frame, (count, 1)), seed), frame, atol=1e-6)


def test_average_of_half_precision_is_summed_in_single():
    frames = np.full((4096, 1), 20.0, np.float16)  # their sum is beyond float16
    assert one("average", frames) == pytest.approx(20.0)


def test_average_ignores_the_order_of_frames():
    frames = np.random.default_rng(0).normal(size=(7, 8)).astype(np.float32)
    np.testing.assert_allclose(one("average", frames), one("average", frames[::-1]), atol=1e-6)


@pytest.mark.parametrize(("count", "index"), [(1, 0), (2, 1), (3, 1), (10, 5)])
def test_middle_takes_the_frame_in_the_middle(count, index):
    assert one("middle", np.arange(count, dtype=np.float32)[:, None]) == index


@given(seed=st.integers(0, 2**63 - 1))
def test_random_takes_one_of_the_frames_by_its_seed(seed):
    frames = np.arange(10, dtype=np.float32)[:, None]
    chosen = one("random", frames, seed)
    assert chosen in frames
    assert chosen == one("random", frames, seed)


def test_random_takes_every_frame_equally_often():
    frames, offsets = together([np.arange(4, dtype=np.float32)[:, None]] * 4000)
    # Seeds that differ in their last bits only, as numbers do.
    drawn = aggregate("random", frames, offsets, np.arange(4000, dtype=np.uint64))[:, 0]
    assert np.bincount(drawn.astype(int)).tolist() == pytest.approx([1000] * 4, abs=120)


def test_an_epochs_seeds_come_from_the_run_the_epoch_and_the_segment():
    keys = np.random.default_rng(0).integers(2**64, size=500, dtype=np.uint64)
    first = epoch_seeds(keys, 7, 2)
    assert (first == epoch_seeds(keys, 7, 2)).all()
    assert (first[::-1] == epoch_seeds(keys[::-1], 7, 2)).all()
    for seed, epoch in ((7, 3), (8, 2), (2, 7)):
        assert not (first == epoch_seeds(keys, seed, epoch)).any()


@pytest.mark.parametrize("name", AGGREGATORS.names())
@pytest.mark.parametrize(
    ("shape", "offsets"), [((0, 8), [0, 0]), ((8,), [0, 8]), ((3, 8), [0, 3, 3]), ((3, 8), [0, 2])]
)
def test_refuses_segments_without_frames(name, shape, offsets):
    with pytest.raises(ValueError, match="one at least"):
        aggregate(name, np.zeros(shape, np.float32), np.array(offsets), np.zeros(len(offsets) - 1, np.uint64))


@pytest.mark.parametrize("name", AGGREGATORS.names())
def test_no_segments_are_none(name):
    assert aggregate(name, np.zeros((0, 8), np.float32), np.zeros(1, np.int64), SEED[:0]).shape == (0, 8)


def test_an_unknown_name_is_refused_by_name():
    with pytest.raises(ValueError, match="no aggregator 'median'; known: average, middle, random"):
        aggregate("median", *together([np.zeros((2, 8), np.float32)]), SEED)
    with pytest.raises(ConfigError, match=r"aggregator = 'median': no such aggregator; allowed: average \| mid"):
        load(MapperSettings, job="train", overrides=["aggregator=median"])


@pytest.mark.parametrize("name", AGGREGATORS.names())
def test_one_that_draws_says_which_frames_it_takes(name):
    frames, offsets = together([np.random.default_rng(0).normal(size=(n, 8)).astype(np.float32) for n in (5, 1, 9)])
    seeds = np.array([1, 2, 3], np.uint64)
    places = places_of(name)
    assert (places is not None) == (name == "random")
    if places:
        np.testing.assert_array_equal(frames[places(offsets, seeds)], aggregate(name, frames, offsets, seeds))
