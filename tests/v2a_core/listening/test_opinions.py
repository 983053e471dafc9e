"""Opinion scores and just meaningful differences, on ratings with known answers and on simulated listeners."""

from __future__ import annotations

import math

import numpy as np
import pytest

from v2a_core.listening import cumulative, recode
from v2a_core.listening.differences import from_comparisons, just_meaningful_differences, preference
from v2a_core.listening.opinion import opinion_scores
from v2a_core.listening.resampling import interval, resample

LISTENERS, ITEMS = 20, 20
VALUES = np.array([0.0, 0.4, 1.0])
THRESHOLD = 0.5
EFFECT = 0.4  # deviation of each listener's and each item's liking of a system


def simulate(random: np.random.Generator) -> np.ndarray:
    """Comparisons of people who differ, of items that differ: as `recode.indicators` has them."""
    liking = random.normal(0, EFFECT, (LISTENERS, 1, 3)) + random.normal(0, EFFECT, (1, ITEMS, 3)) + VALUES
    pairs = recode.pairs_of(3)
    p = cumulative.probabilities(liking[..., pairs[:, 0]] - liking[..., pairs[:, 1]], np.array([THRESHOLD]))
    drawn = (random.random(p.shape[:3])[..., None] > np.cumsum(p, axis=-1)).sum(axis=-1) - 1.0
    return recode.indicators(drawn, 1)


def known_values() -> np.ndarray:
    """What endless such listeners and items give, by quadrature: their mean is nearer to 0 than each of them."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    pairs = recode.pairs_of(3)
    liking = (VALUES[pairs[:, 0]] - VALUES[pairs[:, 1]])[:, None] + 2 * EFFECT * nodes
    p = cumulative.probabilities(liking, np.array([THRESHOLD]))
    counts = np.einsum("pnc,n->pc", p, weights / weights.sum())[None]
    values = cumulative.fit(1e6 * counts, pairs, 3).values_RS[0]
    return (values - values[0]) / math.log(3)


def test_intervals_hold_what_is_true():
    truth, inside = known_values(), []
    assert truth[2] < 1.0 / math.log(3)
    for seed in range(200):
        said = simulate(np.random.default_rng([7, seed]))
        found = from_comparisons(said, 3, ours=0, resamples=100, seed=seed)
        inside.append((found.low_S[1:] <= truth[1:]) & (truth[1:] <= found.high_S[1:]))
    coverage = np.mean(inside, axis=0)
    assert coverage.min() >= 0.90
    assert coverage.mean() < 1


def test_listeners_alone_are_surer_than_they_may_be():
    said = simulate(np.random.default_rng(3))
    by_listener, by_item = resample(LISTENERS, ITEMS, 200)
    pairs = recode.pairs_of(3)
    widths = []
    for items in (by_item, np.ones_like(by_item)):
        values = cumulative.fit(recode.count(said, by_listener, items), pairs, 3).values_RS
        low, high = interval((values[:, 2] - values[:, 0])[:, None])
        widths.append(float(high[0] - low[0]))
    assert widths[0] > 1.15 * widths[1]


def test_a_step_is_three_quarters():
    assert preference([1.0])[0] == pytest.approx(0.75)
    won = np.zeros((10, 40, 2))
    won[:, :30, 0] = 1  # three of four times, and no tie
    won[:, 30:, 1] = 1
    found = just_meaningful_differences(won, ours=1, resamples=20)
    assert found.values_S[0] == pytest.approx(1, abs=0.01)
    assert found.values_S[1] == 0
    assert found.agrees
    halved = just_meaningful_differences(won, ours=1, resamples=20, unit=2 * math.log(3))
    assert halved.values_S[0] == pytest.approx(found.values_S[0] / 2)


def test_graded_ratings_use_more_of_what_was_said():
    random = np.random.default_rng(4)
    liking = np.array([0.0, 0.5, 1.5]) + random.logistic(0, 0.8, (LISTENERS, ITEMS, 3))
    ratings = np.clip(np.round(3 + liking), 1, 5)
    ratings[0, 0, 0] = np.nan
    signs, graded = (just_meaningful_differences(ratings, 0, graded=flag, resamples=100) for flag in (False, True))
    for found in (signs, graded):
        assert 0 < found.values_S[1] < found.values_S[2]
        assert (found.low_S[1:] <= found.values_S[1:]).all()
        assert found.agrees
    again = just_meaningful_differences(ratings, 0, graded=True, resamples=100)
    np.testing.assert_array_equal(again.low_S, graded.low_S)
    with pytest.raises(ValueError, match="no system 3 of 3"):
        just_meaningful_differences(ratings, 3)


def test_opinion_scores_name_their_spreads():
    listeners = np.array([1.0, 3.0, 5.0])[:, None, None]
    items = np.array([-0.5, 0.5])[None, :, None]
    (found,) = opinion_scores(listeners + items, resamples=200)
    assert found.mean == 3
    assert found.listener_deviation == pytest.approx(2)
    assert found.item_deviation == pytest.approx(math.sqrt(0.5))
    assert found.rating_deviation == pytest.approx(np.std([0.5, 1.5, 2.5, 3.5, 4.5, 5.5], ddof=1))
    assert found.low < 3 < found.high
    assert found.ratings == 6


def test_opinion_scores_leave_out_what_is_missing():
    ratings = np.array([[[4.0, np.nan], [2.0, 1.0]], [[np.nan, np.nan], [3.0, 5.0]]])
    first, second = opinion_scores(ratings)
    assert (first.mean, first.ratings) == (3, 3)
    assert (second.mean, second.ratings) == (3, 2)
    assert math.isnan(second.item_deviation)  # of one item
    with pytest.raises(ValueError, match=r"nobody rated the systems \[1\]"):
        opinion_scores(np.array([[[1.0, np.nan]]]))
