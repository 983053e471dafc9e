"""Comparisons from ratings, and the values that two models give them: closed forms, laws, known values found again."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2a_core.listening import adjacent, cumulative, recode

WON_TIED_LOST = np.array([[[20.0, 30.0, 50.0]]])  # lost, tied, won: from -1 to 1
PAIR = recode.pairs_of(2)


def expected_counts(values: list[float], thresholds: list[float], each: float = 1e6) -> tuple[np.ndarray, np.ndarray]:
    pairs = recode.pairs_of(len(values))
    differences = np.array(values)[pairs[:, 0]] - np.array(values)[pairs[:, 1]]
    return each * cumulative.probabilities(differences, np.array(thresholds))[None], pairs


def test_ratings_are_compared_within_listener_and_item():
    ratings = np.array([[[5, 3, 3], [1, 2, np.nan]]], float)
    assert recode.pairs_of(3).tolist() == [[0, 1], [0, 2], [1, 2]]
    np.testing.assert_array_equal(recode.compare(ratings), [[[1, 1, 0], [-1, np.nan, np.nan]]])
    np.testing.assert_array_equal(recode.compare(ratings, graded=True), [[[2, 2, 0], [-1, np.nan, np.nan]]])
    said = recode.indicators(recode.compare(ratings, graded=True), 4)
    assert said.shape == (1, 2, 3, 9)
    assert said.sum() == 4  # what is missing is in no category
    counts = recode.count(said)
    assert counts[0, 0].tolist() == [0, 0, 0, 1, 0, 0, 1, 0, 0]


def test_a_strict_and_a_mild_listener_say_the_same():
    ratings = np.random.default_rng(0).integers(1, 4, (1, 20, 3)).astype(float)
    np.testing.assert_array_equal(recode.compare(ratings), recode.compare(ratings + 2))


def test_counts_take_listeners_and_items_as_often_as_they_are_drawn():
    said = recode.indicators(np.random.default_rng(1).integers(-1, 2, (4, 5, 3)).astype(float), 1)
    by_listener, by_item = np.array([[2.0, 0, 1, 1]]), np.array([[0.0, 1, 3, 0, 1]])
    direct = (said * by_listener[0][:, None, None, None] * by_item[0][None, :, None, None]).sum(axis=(0, 1))
    np.testing.assert_allclose(recode.count(said, by_listener, by_item)[0], direct)


@pytest.mark.parametrize("wrong", [np.ones((2, 3)), np.ones((2, 3, 1)), np.full((1, 1, 2), 2.5)])
def test_other_ratings_are_refused(wrong):
    with pytest.raises(ValueError, match=r"ratings are"):
        recode.compare(wrong)


def test_larger_comparisons_than_the_scale_has_are_refused():
    with pytest.raises(ValueError, match="from -1 to 1, not to 3"):
        recode.indicators(np.array([[[3.0]]]), 1)


def test_fifty_won_thirty_tied_twenty_lost():
    def logit(p: float) -> float:
        return math.log(p / (1 - p))

    found = cumulative.fit(WON_TIED_LOST, PAIR, 2, ridge=0)
    assert found.values_RS[0, 0] - found.values_RS[0, 1] == pytest.approx(0.6931, abs=5e-5)
    assert found.thresholds_RK[0, 0] == pytest.approx(-(logit(0.5) + logit(0.2)) / 2, rel=1e-6)
    check = adjacent.fit(WON_TIED_LOST, PAIR, 2, ridge=0)
    assert check.values_RS[0, 0] - check.values_RS[0, 1] == pytest.approx(0.4581, abs=5e-5)


@settings(max_examples=25)
@given(
    values=st.lists(st.floats(-2, 2), min_size=2, max_size=5),
    gaps=st.lists(st.floats(0.1, 1.5), min_size=1, max_size=4),
)
def test_known_values_are_found_again(values, gaps):
    thresholds = np.cumsum(gaps)
    counts, pairs = expected_counts(values, list(thresholds))
    found = cumulative.fit(counts, pairs, len(values), ridge=0)
    np.testing.assert_allclose(found.values_RS[0], np.array(values) - np.mean(values), atol=1e-5)
    np.testing.assert_allclose(found.thresholds_RK[0], thresholds, atol=1e-5)


def test_probabilities_are_of_a_symmetric_scale():
    p = cumulative.probabilities(0.8, np.array([0.3, 1.2]))
    assert p.sum() == pytest.approx(1)
    np.testing.assert_allclose(cumulative.probabilities(-0.8, np.array([0.3, 1.2])), p[::-1])


def test_collapsing_grades_changes_the_adjacent_scale_and_not_the_cumulative_one():
    counts, pairs = expected_counts([0.0, 0.5, 1.2], [0.3, 0.9, 1.6, 2.5])
    collapsed = np.stack([counts[..., :4].sum(-1), counts[..., 4], counts[..., 5:].sum(-1)], axis=-1)
    fine, coarse = (cumulative.fit(table, pairs, 3).values_RS[0] for table in (counts, collapsed))
    np.testing.assert_allclose(fine, coarse, atol=1e-4)
    fine, coarse = (adjacent.fit(table, pairs, 3).values_RS[0] for table in (counts, collapsed))
    assert np.abs(fine[0] / coarse[0] - 1) > 0.3
    assert np.argsort(fine).tolist() == np.argsort(coarse).tolist()


def test_who_always_wins_has_a_finite_value_by_the_ridge():
    always = np.array([[[0.0, 0.0, 400.0]]])
    for model in (cumulative, adjacent):
        found = model.fit(always, PAIR, 2)
        difference = found.values_RS[0, 0] - found.values_RS[0, 1]
        assert 3 < difference < 30
        assert np.isfinite(found.thresholds_RK).all()


def test_without_comparisons_or_a_way_between_systems_nothing_is_made_up():
    apart = np.zeros((1, 6, 3))
    apart[0, 0] = apart[0, 5] = [2, 1, 3]  # 0 with 1, 2 with 3
    with pytest.raises(ValueError, match="no comparisons"):
        cumulative.fit(np.zeros((1, 1, 3)), PAIR, 2, ridge=0)
    with pytest.raises(ValueError, match=r"never compared|no comparisons"):
        cumulative.fit(apart, recode.pairs_of(4), 4, ridge=0)
    assert np.isfinite(cumulative.fit(apart, recode.pairs_of(4), 4).values_RS).all()


def test_many_fits_at_once_are_the_fits_one_by_one():
    counts = np.random.default_rng(2).integers(0, 30, (7, 3, 9)).astype(float)
    for model in (cumulative, adjacent):
        together = model.fit(counts, recode.pairs_of(3), 3)
        for row in range(7):
            alone = model.fit(counts[row : row + 1], recode.pairs_of(3), 3)
            np.testing.assert_allclose(together.values_RS[row], alone.values_RS[0], atol=1e-6)
