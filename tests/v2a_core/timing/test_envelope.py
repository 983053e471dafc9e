"""Curves of sounds: loudness over time, and where something begins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2a_core.protocols import CURVE_HZ, Curve
from v2a_core.timing.envelope import compress, envelope, keeps_to, onset_bumps, onset_places, rises

RATE = 16_000


def strikes(*times_s: float, length_s: float = 3.0, rate: int = RATE) -> np.ndarray:
    """Clicks that ring for 0.1 s, in a quiet hiss."""
    times = np.arange(round(length_s * rate)) / rate
    wave = 1e-3 * np.random.default_rng(0).standard_normal(len(times))
    for at in times_s:
        wave += 0.5 * np.where(times >= at, np.exp(-(times - at) / 0.1), 0) * np.sin(2 * np.pi * 880 * (times - at))
    return wave.astype(np.float32)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_strike_is_loud_when_it_comes_and_begins_there(rate: int) -> None:
    curve = envelope(strikes(0.5, 1.7, rate=rate), rate)
    assert curve.level_F.dtype == curve.onset_F.dtype == curve.weight_F.dtype == np.float32
    assert len(curve.level_F) == len(curve.onset_F) == len(curve.weight_F) == 3 * CURVE_HZ
    assert curve.level_F.max() == pytest.approx(1)
    assert curve.level_F.min() >= 0
    begun_s = np.flatnonzero(curve.onset_F == 1) / CURVE_HZ
    np.testing.assert_allclose(begun_s, [0.5, 1.7], atol=0.04)
    for at in (0.5, 1.7):
        before, after = curve.level_F[round(at * CURVE_HZ) - 3], curve.level_F[round(at * CURVE_HZ) + 1]
        assert after > before + 0.5
    np.testing.assert_array_equal(curve.weight_F, 1)


def test_only_shares_of_the_loudest_moment_count() -> None:
    loud, soft = envelope(strikes(0.5, 1.7), RATE), envelope(0.01 * strikes(0.5, 1.7), RATE)
    np.testing.assert_allclose(loud.level_F, soft.level_F, atol=1e-4)
    np.testing.assert_array_equal(loud.onset_F, soft.onset_F)


def test_the_level_is_the_root_mean_square_around_each_value() -> None:
    curve = envelope(np.concatenate([strikes(0.0), 0.5 * np.sin(np.arange(RATE))]).astype(np.float32), RATE)
    sine = curve.level_F[-30:-2]
    assert np.ptp(sine) < 0.02
    half = np.sin(np.arange(RATE)) * np.where(np.arange(RATE) < RATE // 2, 1, 0.1)
    level_F = envelope(half.astype(np.float32), RATE).level_F
    np.testing.assert_allclose(level_F[[10, 40]], [1, compress([0.1])[0]], atol=0.02)


def test_silence_has_no_curve() -> None:
    with pytest.raises(ValueError, match="it is silent"):
        envelope(np.zeros(RATE, np.float32), RATE)


def test_what_rises_in_a_level_begins_something() -> None:
    level_F = np.full(100, 0.3, np.float32)
    level_F[30:40], level_F[60:] = 0.9, 0.6
    np.testing.assert_allclose(rises(level_F) * CURVE_HZ, [0, 30, 60])
    np.testing.assert_allclose(rises(np.linspace(0, 1, 200, dtype=np.float32)), [])


def test_onsets_have_their_place_and_none_beyond_the_ends() -> None:
    np.testing.assert_array_equal(onset_bumps([0.0, 0.1, 0.119, 9.0], 8), [1, 0.5, 0, 0, 0.5, 1, 0.5, 0])
    assert not onset_bumps([], 5).any()


def test_a_curve_is_cut_held_or_left_free() -> None:
    values = np.array([0.2, 0.8], np.float32)
    free = Curve(values, values, np.ones(2, np.float32))
    held = Curve(values, values, np.ones(2, np.float32), holds=True)
    np.testing.assert_array_equal(free.lasting(1).level_F, values[:1])
    np.testing.assert_array_equal(free.lasting(4).weight_F, [1, 1, 0, 0])
    np.testing.assert_array_equal(held.lasting(4).level_F, values[[0, 1, 1, 1]])
    np.testing.assert_array_equal(held.lasting(4).weight_F, 1)
    np.testing.assert_array_equal(held.lasting(4).onset_F, [*values, 0, 0])


def test_a_sound_keeps_to_its_own_curve_and_not_to_that_of_another() -> None:
    early, late = strikes(0.5, 1.7), strikes(1.1, 2.3)
    curve = envelope(early, RATE)
    assert keeps_to(curve, early, RATE) == pytest.approx(1, abs=1e-3)
    assert keeps_to(curve, 0.1 * early, RATE) > 0.99
    assert keeps_to(curve, late, RATE) < 0.3
    assert keeps_to(curve, np.zeros(RATE, np.float32), RATE) == 0
    free = np.zeros_like(curve.weight_F)
    assert keeps_to(Curve(curve.level_F, curve.onset_F, free), early, RATE) == 0
    half = free.copy()
    half[: round(0.9 * CURVE_HZ)] = 1
    both = np.concatenate([early[: RATE * 9 // 10], late[RATE * 9 // 10 :]])
    assert keeps_to(Curve(curve.level_F, curve.onset_F, half), both, RATE) > 0.99


@given(st.lists(st.integers(0, 60), unique=True, max_size=8), st.integers(0, 60))
def test_what_begins_in_a_curve_is_found_where_it_counts(frames, from_where):
    apart = [frame for frame in frames if not {frame - 1, frame + 1} & set(frames)]
    weight_F = (np.arange(61) >= from_where).astype(np.float32)
    curve = Curve(np.ones(61, np.float32), onset_bumps(np.array(apart) / CURVE_HZ, 61), weight_F)
    wanted = [(frame / CURVE_HZ, 1.0) for frame in sorted(apart) if frame >= from_where]
    assert onset_places(curve) == wanted
