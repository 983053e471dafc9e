"""Onset accuracy and average precision, against values by hand and scikit-learn's definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2a_core.metrics.extractors.onsets import onset_confidence
from v2a_core.metrics.onset_precision import average_precision, onset_accuracy, onset_average_precision


def test_each_onset_of_the_reference_takes_the_most_confident_near_it():
    made, confidence, reference = [0.1, 0.25, 2.0], [0.6, 0.9, 0.8], [0.2, 0.3, 5.0]
    # 0.2 takes 0.25, 0.3 takes 0.1, 5.0 takes nothing; 2.0 is one too many.
    assert onset_accuracy(made, confidence, reference, 0.3) == pytest.approx(2 / 3)
    # By confidence: right (1/1), wrong, right (2/3), then the missed one at 0 among all four.
    expected = (1 / 3) * 1 + (1 / 3) * (2 / 3) + (1 / 3) * (3 / 4)
    assert onset_average_precision(made, confidence, reference, 0.3) == pytest.approx(expected)


def test_the_edges():
    assert onset_accuracy([1.0], [0.5], [], 0.3) is None
    assert onset_average_precision([1.0], [0.5], [], 0.3) is None
    assert onset_accuracy([], [], [1.0], 0.3) == 0
    assert onset_average_precision([1.0], [0.5], [1.0], 0.3) == 1
    assert onset_accuracy([1.3], [0.5], [1.0], 0.25) == 0


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.2, 0.5, 0.9])), min_size=1, max_size=12))
def test_average_precision_is_the_step_integral_over_all_thresholds(items):
    right = np.array([item[0] for item in items] + [True])
    scores = np.array([item[1] for item in items] + [0.7])
    expected, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        kept = scores >= threshold
        recall = (right & kept).sum() / right.sum()
        expected += (recall - before) * (right & kept).sum() / kept.sum()
        before = recall
    assert average_precision(right, scores) == pytest.approx(expected)


def test_confidence_is_the_highest_sample_around_an_onset():
    sound = np.zeros(16_000, np.float32)
    sound[[4000, 12_000]] = [0.5, 1.0]
    sound[8000] = -1.0
    np.testing.assert_allclose(onset_confidence(sound, 16_000, np.array([0.25, 0.74])), [0.75, 1.0], atol=1e-5)
