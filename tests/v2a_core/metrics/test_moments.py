"""Moments that merge, and what follows from them: Fréchet distances, extrapolations, jackknives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2a_core.metrics.base import COSINE, NOT_NEGATIVE, SHARE, NotMeasuredError
from v2a_core.metrics.frechet import frechet_distance, from_moments
from v2a_core.metrics.frechet_infinity import frechet_infinity, line
from v2a_core.metrics.jackknife import (
    group_of,
    groups_of,
    interval,
    jackknife,
    paired_difference,
    standard_error,
    student_quantile,
)
from v2a_core.metrics.moments import by_group, frechet_of, frechet_without_each, merged, moments, nothing, streamed


@given(cuts=st.lists(st.integers(0, 60), max_size=5), seed=st.integers(0, 99))
def test_merged_parts_are_the_whole_in_any_order(cuts, seed):
    rows = np.random.default_rng(seed).normal(3, 2, (60, 5))
    parts = [moments(part) for part in np.split(rows, sorted(cuts))]
    for order in (parts, parts[::-1]):
        whole = merged(order)
        assert whole.count == 60
        np.testing.assert_allclose(whole.mean_D, rows.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(whole.scatter_DD / 59, np.cov(rows.T), rtol=1e-10)


def test_far_from_zero_nothing_is_lost():
    """The sum of squares less the square of the sum would have no digit left."""
    rows = 1e6 + np.random.default_rng(0).normal(size=(400, 3))
    whole = merged(moments(part) for part in np.split(rows, 8))
    np.testing.assert_allclose(whole.scatter_DD / 399, np.cov(rows.T), rtol=1e-7)


@given(seed=st.integers(0, 99), taken=st.integers(0, 30))
def test_a_part_can_be_taken_away(seed, taken):
    rows = np.random.default_rng(seed).normal(-1, 3, (40, 4))
    left = moments(rows).without(moments(rows[:taken]))
    direct = moments(rows[taken:])
    assert left.count == direct.count
    np.testing.assert_allclose(left.mean_D, direct.mean_D, atol=1e-12)
    np.testing.assert_allclose(left.scatter_DD, direct.scatter_DD, atol=1e-10)


@given(cuts=st.lists(st.integers(0, 60), max_size=5), seed=st.integers(0, 99))
def test_what_is_streamed_in_blocks_is_the_whole(cuts, seed):
    rows = np.random.default_rng(seed).normal(3, 2, (60, 5))
    whole = streamed(np.split(rows, sorted(cuts)), 5)
    assert whole.count == 60
    np.testing.assert_allclose(whole.mean_D, rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(whole.scatter_DD / 59, np.cov(rows.T), rtol=1e-10)
    with pytest.raises(ValueError, match="finite"):
        streamed([np.full((2, 2), np.nan)], 2)


@pytest.mark.parametrize("rank", [0, 1, 63, 64, 65, 300])
def test_a_factor_is_as_tall_as_the_covariance_has_directions(rank):
    """Directions that differ by many orders of magnitude are kept."""
    random = np.random.default_rng(rank)
    spread = np.logspace(0, -4, rank)[:, None]
    directions, _ = np.linalg.qr(random.normal(size=(300, 300)))
    rows = spread * directions[:rank]
    found = from_moments(np.zeros(300), rows.T @ rows).factor_KD
    assert found.shape == (rank, 300)
    np.testing.assert_allclose(found.T @ found, rows.T @ rows, atol=1e-13)


def test_too_few_rows_are_said():
    with pytest.raises(NotMeasuredError, match="at least 2 vectors, not 1"):
        moments(np.ones((1, 3))).gaussian()
    with pytest.raises(NotMeasuredError, match="none of 2 is left"):
        moments(np.ones((2, 3))).without(moments(np.ones((2, 3))))
    with pytest.raises(NotMeasuredError, match="no vectors"):
        merged([])
    with pytest.raises(ValueError, match="finite"):
        moments(np.full((2, 2), np.nan))
    assert nothing(3).merge(moments(np.ones((2, 3)))).count == 2


def test_frechet_of_a_shift_and_of_a_scale():
    rows = np.random.default_rng(1).normal(size=(300, 6)) @ np.random.default_rng(2).normal(size=(6, 6))
    shift = np.arange(6.0)
    assert frechet_of(moments(rows), moments(rows + shift)) == pytest.approx(shift @ shift, rel=1e-9)
    centred = rows - rows.mean(axis=0)
    spread = np.trace(np.cov(centred.T))
    assert frechet_of(moments(centred), moments(1.5 * centred)) == pytest.approx(spread / 4, rel=1e-9)


def test_frechet_of_two_samples_of_one_gaussian():
    """E = sum_ij l_i l_j (1 + d_ij) / ((l_i + l_j)(n - 1)) + 2 tr(S) / n."""
    values, n = np.array([4.0, 2.0, 1.0, 0.5, 0.25]), 60
    pairs = np.outer(values, values) * (1 + np.eye(5)) / np.add.outer(values, values)
    predicted = pairs.sum() / (n - 1) + 2 * values.sum() / n
    random = np.random.default_rng(3)
    found = [frechet_distance(*(random.normal(size=(2, n, 5)) * np.sqrt(values))) for _ in range(400)]
    assert np.mean(found) == pytest.approx(predicted, rel=0.03)


def test_frechet_from_groups_is_that_of_the_rows():
    random = np.random.default_rng(4)
    made, reference = random.normal(size=(2, 90, 4))
    groups = groups_of([f"source{row // 3}" for row in range(90)], 5)
    found = frechet_without_each(by_group(made, groups, 5), by_group(reference, groups, 5))
    direct = [frechet_distance(made[groups != group], reference[groups != group]) for group in range(5)]
    np.testing.assert_allclose(found, direct, rtol=1e-8)


def test_extrapolation_takes_the_bias_of_few_rows_away():
    random = np.random.default_rng(5)
    made, truth = random.normal(size=(3000, 32)), from_moments(np.zeros(32), np.eye(32))
    found = frechet_infinity(made, truth, least=200, seed=1)
    assert found.distances_S[0] > found.distances_S[-1] > 0.01
    assert abs(found.value) < 0.1 * found.distances_S[-1] + 0.005
    assert found.fit > 0.99
    again = frechet_infinity(made, truth, least=200, seed=1)
    assert again.value == found.value
    assert found.sizes_S[0] == 200
    assert found.sizes_S[-1] == 3000


def test_a_line_is_found_exactly():
    sizes = np.array([500, 1000, 2000])
    found = line(sizes, 3 + 70 / sizes)
    assert found.value == pytest.approx(3)
    assert found.slope == pytest.approx(70)
    assert found.fit == pytest.approx(1)


def test_extrapolation_of_too_few_rows_is_refused():
    with pytest.raises(NotMeasuredError, match="more than 500 rows"):
        frechet_infinity(np.zeros((500, 2)), from_moments(np.zeros(2), np.eye(2)))


def test_groups_are_by_content_and_even():
    groups = groups_of([f"video{number}.mp4" for number in range(4000)])
    assert group_of("video7.mp4") == groups[7]
    counts = np.bincount(groups, minlength=20)
    assert len(counts) == 20
    assert counts.min() > 150
    assert counts.max() < 250
    assert group_of("video7.mp4") == 8  # the same in every version of the program


def test_the_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(6).normal(5, 2, 20)
    without = (values.sum() - values) / 19
    assert standard_error(without) == pytest.approx(values.std(ddof=1) / math.sqrt(20), rel=1e-12)
    found = jackknife(values.mean(), without, 20)
    assert found.high - found.value == pytest.approx(2.093024 * values.std(ddof=1) / math.sqrt(20), rel=1e-5)
    assert found.value - found.low == pytest.approx(found.high - found.value)


def test_the_interval_of_a_share_keeps_inside_of_it_and_tells_how_few_rows_it_is_of():
    none = jackknife(0.0, np.zeros(20), 60, span=SHARE)
    assert none.low == 0
    assert 0.03 < none.high < 0.1  # three of sixty is what 5 % would give
    assert jackknife(1.0, np.ones(20), 60, span=SHARE).low == pytest.approx(1 - none.high)
    assert jackknife(0.5, np.full(20, 0.5), 60, span=SHARE).high == 0.5  # all sounds are alike, and not at an end
    low = np.full(20, 0.01)
    low[0] = 0.1
    assert jackknife(0.015, low, 60).low < 0  # what it was without bounds
    assert 0 < jackknife(0.015, low, 60, span=SHARE).low < 0.015
    assert jackknife(0.015, low, 60, span=NOT_NEGATIVE).low == 0
    far = np.random.default_rng(0).normal(0.5, 1e-4, 20)
    plain, bounded = jackknife(0.5, far, 60), jackknife(0.5, far, 60, span=SHARE)
    assert bounded.low == pytest.approx(plain.low, abs=1e-6)  # far from an end it is the same
    assert interval(1 + 1e-9, 0.0, 2.0, 60, COSINE)[1] == 1 + 1e-9
    opposite = paired_difference((1.0, 0.0), (np.ones(20), low), 60, span=SHARE)
    assert opposite.high == 1


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.97])
def test_the_interval_of_a_share_covers_it(share):
    random, groups, held = np.random.default_rng(8), np.arange(80) % 20, 0
    for _ in range(400):
        values = (random.random(80) < share).astype(float)
        without = np.array([values[groups != group].mean() for group in range(20)])
        found = jackknife(values.mean(), without, 80, span=SHARE)
        assert 0 <= found.low <= found.value <= found.high <= 1
        held += found.low <= share <= found.high
    assert held >= 0.92 * 400


def test_a_paired_difference_is_surer_than_two_intervals():
    random = np.random.default_rng(7)
    shared = random.normal(0, 10, 20)
    first, second = (shared + offset + random.normal(0, 0.1, 20) for offset in (1, 0))
    without = tuple((values.sum() - values) / 19 for values in (first, second))
    found = paired_difference((first.mean(), second.mean()), without, 20)
    assert found.value == pytest.approx(1, abs=0.1)
    assert found.low > 0.8
    assert jackknife(first.mean(), without[0], 20).low < -1
    with pytest.raises(NotMeasuredError, match="same groups"):
        paired_difference((0, 0), (without[0], without[1][:5]), 20)
    with pytest.raises(NotMeasuredError, match="two groups, not 1"):
        jackknife(0.0, np.zeros(1), 5)


@pytest.mark.parametrize(("freedom", "expected", "digits"), [
    (1, 12.7062047, 1e-7), (2, 4.3026527, 1e-7), (3, 3.1824463, 5e-3),
    (5, 2.5705818, 5e-4), (10, 2.2281389, 5e-5), (19, 2.0930241, 1e-5), (1000, 1.9623391, 1e-6),
])  # fmt: skip
def test_quantiles_of_student(freedom, expected, digits):
    assert student_quantile(0.975, freedom) == pytest.approx(expected, rel=digits)
    assert student_quantile(0.025, freedom) == pytest.approx(-expected, rel=digits)
