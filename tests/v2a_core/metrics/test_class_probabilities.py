"""KL divergence, inception score, CLIP score: closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2a_core.metrics.base import NotMeasuredError
from v2a_core.metrics.class_probabilities import inception_score, kl_divergence, log_softmax
from v2a_core.metrics.clip_score import clip_score


def test_kl_is_of_the_reference_from_what_was_made():
    half, uneven = np.log([[0.5, 0.5]]), np.log([[0.25, 0.75]])
    assert kl_divergence(half, uneven)[0] == pytest.approx(0.143841, abs=1e-6)
    assert kl_divergence(uneven, half)[0] == pytest.approx(0.130812, abs=1e-6)
    assert kl_divergence(half, half + 7)[0] == pytest.approx(0, abs=1e-15)
    softer = 0.5 * math.log(0.5 / 0.250001) + 0.5 * math.log(0.5 / 0.750001)
    assert kl_divergence(half, uneven, epsilon=1e-6)[0] == pytest.approx(softer, rel=1e-12)
    with pytest.raises(ValueError, match="no pairs"):
        kl_divergence(half, np.zeros((2, 2)))


@given(st.integers(0, 50))
def test_kl_is_never_negative_and_bears_large_logits(seed):
    random = np.random.default_rng(seed)
    first, second = random.normal(0, 500, (2, 6, 20))
    found = kl_divergence(first, second)
    assert (found >= -1e-9).all()
    assert np.isfinite(found).all()
    np.testing.assert_allclose(np.exp(log_softmax(first)).sum(axis=1), 1)


def test_kl_of_a_sure_reference():
    assert kl_divergence(np.array([[0.0, -np.inf]]), np.log([[0.25, 0.75]]))[0] == pytest.approx(math.log(4))


def test_inception_score_of_what_is_all_alike_is_one():
    assert inception_score(np.tile([1.0, 2.0, 0.5], (100, 1))).mean == pytest.approx(1, abs=1e-12)


def test_inception_score_of_sure_and_even_classes_is_their_number():
    logits = np.where(np.eye(8)[np.arange(800) % 8] > 0, 0.0, -1e4)
    assert inception_score(logits, splits=1).mean == pytest.approx(8)
    ten = inception_score(logits)
    assert ten.mean == pytest.approx(7.62, abs=0.02)
    assert 0 < ten.deviation < 0.5
    assert inception_score(logits, seed=None).mean == pytest.approx(8, rel=1e-3)  # in this order every split is even


def test_inception_score_needs_a_row_a_split():
    with pytest.raises(NotMeasuredError, match="as many rows, not 9"):
        inception_score(np.zeros((9, 3)))


def test_clip_score_is_the_mean_cosine_times_a_hundred():
    frames, sound = np.array([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]]), np.array([5.0, 0.0])
    assert clip_score(frames, sound) == pytest.approx(100 * (1 + 0 + math.sqrt(0.5)) / 3)
    for wrong in ((np.zeros((0, 2)), sound), (frames, np.zeros(2))):
        with pytest.raises(NotMeasuredError, match="CLIP score needs"):
            clip_score(*wrong)
