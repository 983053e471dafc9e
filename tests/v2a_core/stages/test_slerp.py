from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from v2a_core.stages.slerp import slerp

weights = st.floats(0, 1)
vectors = st.lists(st.floats(-1, 1, width=32), min_size=4, max_size=4).map(lambda row: np.array([row], np.float32))


def unit(rows: np.ndarray) -> np.ndarray:
    return rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)


def angle(a: np.ndarray, b: np.ndarray) -> float:
    a, b = unit(a), unit(b)
    return float(2 * np.arctan2(np.linalg.norm(a - b), np.linalg.norm(a + b)))


@given(vectors, vectors, weights)
def test_it_moves_by_its_share_of_the_angle_on_the_unit_sphere(a, b, weight):
    assume(np.linalg.norm(a) > 1e-3)
    assume(np.linalg.norm(b) > 1e-3)
    mixed = slerp(a, b, weight)
    assert mixed.dtype == np.float32
    assert np.linalg.norm(mixed) == pytest.approx(1, abs=1e-6)
    assert angle(a, mixed) == pytest.approx(weight * angle(a, b), abs=1e-6)
    assert angle(mixed, b) == pytest.approx((1 - weight) * angle(a, b), abs=1e-6)


@given(vectors, vectors, weights)
def test_the_way_back_is_the_same_way(a, b, weight):
    assume(np.linalg.norm(a) > 1e-3)
    assume(np.linalg.norm(b) > 1e-3)
    assume(angle(a, b) < 3.1)  # nearly opposite: the way hangs on the last bits
    np.testing.assert_allclose(slerp(a, b, weight), slerp(b, a, 1 - weight), atol=1e-5)


@given(vectors, vectors, st.floats(0, 0.5), st.floats(0, 1))
def test_a_part_of_the_way_is_the_way_to_a_part(a, b, first, second):
    assume(min(np.linalg.norm(a), np.linalg.norm(b)) > 1e-3)
    assume(angle(a, b) < 3.1)
    np.testing.assert_allclose(slerp(a, slerp(a, b, first), second), slerp(a, b, first * second), atol=1e-5)


@given(vectors, weights)
def test_opposite_embeddings_have_a_way_too(a, weight):
    assume(np.linalg.norm(a) > 1e-3)
    mixed = slerp(a, -a, weight)
    assert np.linalg.norm(mixed) == pytest.approx(1, abs=1e-6)
    assert angle(a, mixed) == pytest.approx(weight * np.pi, abs=1e-6)
    np.testing.assert_allclose(mixed, slerp(-a, a, 1 - weight), atol=1e-6)


def test_the_ends_are_the_ends():
    a, b = np.random.default_rng(0).standard_normal((2, 7, 512)).astype(np.float32)
    np.testing.assert_allclose(slerp(a, b, 0), unit(a), atol=1e-7)
    np.testing.assert_allclose(slerp(a, b, 1), unit(b), atol=1e-7)
    np.testing.assert_allclose(slerp(a, a, 0.3), unit(a), atol=1e-7)
    assert slerp(a[:0], b[:0], 0.5).shape == (0, 512)


def test_one_end_for_all_and_a_weight_a_row():
    a, b = np.random.default_rng(1).standard_normal((2, 3, 8)).astype(np.float32)
    share = np.array([0.0, 0.4, 1.0])
    together = slerp(a, b[:1], share)
    for row in range(3):
        np.testing.assert_array_equal(together[[row]], slerp(a[[row]], b[:1], share[row]))
    assert slerp(a[:1], b[:1], np.linspace(0, 1, 5)).shape == (5, 8)


def test_what_has_no_direction_or_does_not_fit_is_refused():
    good = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"second embeddings of rows \[1\] are zero"):
        slerp(good, np.array([[1, 1, 1], [0, 0, 0]]), 0.5)
    with pytest.raises(ValueError, match="zero or not finite"):
        slerp(np.full((1, 3), np.nan), good, 0.5)
    for weight in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"must be in 0\.\.1"):
            slerp(good, good, weight)
    with pytest.raises(ValueError, match="do not fit together"):
        slerp(good, np.ones((3, 3)), 0.5)
    with pytest.raises(ValueError, match=r"not \(N, D\)"):
        slerp(np.ones(3), good, 0.5)
