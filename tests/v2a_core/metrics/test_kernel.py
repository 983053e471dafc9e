"""The kernel audio distance: closed forms, groups."""

from __future__ import annotations

import math

import numpy as np
import pytest

from v2a_core.metrics.base import NotMeasuredError
from v2a_core.metrics.kernel import kernel_distance, kernel_sums, median_distance


def naive(made: np.ndarray, reference: np.ndarray, s: float) -> float:
    def k(a, b):
        return math.exp(-float(np.square(a - b).sum()) / (2 * s * s))

    n, m = len(made), len(reference)
    within = sum(k(made[i], made[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    among = sum(k(reference[i], reference[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    across = sum(k(a, b) for a in made for b in reference) / (n * m)
    return 100 * (within + among - 2 * across)


def test_of_points():
    """{0, 0} and {3, 3} with s = 2: 100 (2 - 2 exp(-9/8))."""
    found = kernel_distance(np.zeros((2, 1)), np.full((2, 1), 3.0), 2.0)
    assert found == pytest.approx(100 * (2 - 2 * math.exp(-9 / 8)), rel=1e-12)


def test_equals_the_double_sum(monkeypatch):
    random = np.random.default_rng(0)
    made, reference = random.normal(size=(23, 3)), random.normal(0.3, 1, (31, 3))
    expected = naive(made, reference, 1.7)
    assert kernel_distance(made, reference, 1.7) == pytest.approx(expected, rel=1e-10)
    monkeypatch.setattr("v2a_core.metrics.kernel._BLOCK", 7)  # the blocks are no part of the result
    assert kernel_distance(made, reference, 1.7) == pytest.approx(expected, rel=1e-10)


def test_of_gaussians():
    """N(0, v I) and N(m, v I): 2 (s^2 / (s^2 + 2 v))^(d/2) (1 - exp(-|m|^2 / (2 (s^2 + 2 v))))."""
    d, v, s, shift = 4, 1.5, 2.0, np.array([1.0, 0.5, 0.0, -1.0])
    wide = s * s + 2 * v
    expected = 100 * 2 * (s * s / wide) ** (d / 2) * (1 - math.exp(-float(shift @ shift) / (2 * wide)))
    random = np.random.default_rng(1)
    drawn = [math.sqrt(v) * random.normal(size=(2, 1500, d)) for _ in range(6)]
    found = [kernel_distance(a, b + shift, s) for a, b in drawn]
    assert np.mean(found) == pytest.approx(expected, rel=0.03)


def test_is_unbiased_and_so_may_be_negative():
    random = np.random.default_rng(2)
    found = [kernel_distance(*random.normal(size=(2, 40, 3)), 1.5) for _ in range(300)]
    assert min(found) < 0
    assert abs(np.mean(found)) < 4 * np.std(found) / math.sqrt(300)


def test_the_bandwidth_is_the_median_distance_of_the_reference():
    assert median_distance(np.array([[0.0], [1.0], [3.0]])) == pytest.approx(2)  # of 1, 2, 3
    assert median_distance(np.array([[0.0], [1.0], [3.0], [7.0]])) == pytest.approx(3)  # the lower of 3 and 4
    rows = np.random.default_rng(3).normal(size=(900, 8))
    assert median_distance(rows, seed=1, most=300) == pytest.approx(median_distance(rows), rel=0.02)
    assert median_distance(rows, seed=1, most=300) == median_distance(rows, seed=1, most=300)
    for few in (np.zeros((1, 2)), np.zeros((5, 2))):
        with pytest.raises(NotMeasuredError, match=r"two reference rows|are alike"):
            median_distance(few)


def test_groups_give_every_jackknife_without_another_kernel():
    random = np.random.default_rng(4)
    made, reference = random.normal(size=(50, 3)), random.normal(size=(40, 3))
    groups = random.integers(4, size=50), random.integers(4, size=40)
    sums = kernel_sums(made, reference, 1.2, groups, 4)
    assert sums.distance() == pytest.approx(kernel_distance(made, reference, 1.2))
    direct = [kernel_distance(made[groups[0] != g], reference[groups[1] != g], 1.2) for g in range(4)]
    np.testing.assert_allclose(sums.without_each(), direct, rtol=1e-9)


def test_what_cannot_be_measured_is_said():
    with pytest.raises(NotMeasuredError, match="two rows in each set"):
        kernel_distance(np.zeros((1, 2)), np.zeros((5, 2)), 1.0)
    with pytest.raises(ValueError, match="must be positive"):
        kernel_distance(np.zeros((2, 2)), np.zeros((2, 2)), 0.0)
    with pytest.raises(ValueError, match="have 2 numbers"):
        kernel_distance(np.zeros((2, 2)), np.zeros((2, 3)), 1.0)
