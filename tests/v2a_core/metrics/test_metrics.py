from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from v2a_core.metrics import METRICS, load_metric
from v2a_core.metrics.accuracy import class_accuracy
from v2a_core.metrics.base import NotMeasuredError, Score
from v2a_core.metrics.config import EACH_METRIC, IntervalSettings, MetricSettings
from v2a_core.metrics.correlation import correlation, correlation_within, pearson
from v2a_core.metrics.frechet import Gaussian, distance, fit, frechet_distance, score
from v2a_core.metrics.intervals import mean, wilson
from v2a_core.metrics.measure import measure, references_in_words, to_markdown
from v2a_core.metrics.similarity import cosine

QUICK = IntervalSettings(resamples=200)
ALL: MetricSettings = EACH_METRIC.groups()[0].model_validate({"resamples": 200})


def rows(count: int = 40, seed: int = 0) -> dict[str, list]:
    """Evaluated rows with everything in them; made sounds are near their references."""
    random = np.random.default_rng(seed)
    reference = unit(random.normal(size=(count, 16)))
    made = unit(reference + 0.1 * random.normal(size=(count, 16)))
    kinds = ["bell", "rain", "drum"]
    labels = [kinds[row % 3] for row in range(count)]
    pitch = random.uniform(200, 2000, count)
    onsets = [sorted(random.uniform(0, 5, 6)) for _ in range(count)]
    return {
        "segment_id": [f"segment{row}" for row in range(count)],
        "similarity_to_condition": random.uniform(0, 1, count).tolist(),
        "similarity_to_caption": random.uniform(0, 1, count).tolist(),
        "similarity_to_reference": (made * reference).sum(1).tolist(),
        "judged_class": labels,
        "verdict": [label if row % 5 else "wind" for row, label in enumerate(labels)],
        "reference_verdict": labels,
        "onsets_s": onsets,
        "reference_onsets_s": onsets,
        "onset_confidence": [random.uniform(0.5, 1, 6).tolist() for _ in range(count)],
        "level_difference": random.uniform(0, 0.1, count).tolist(),
        "pitch_hz": pitch.tolist(),
        "reference_pitch_hz": (pitch * random.uniform(0.9, 1.1, count)).tolist(),
        "tempo_hz": pitch.tolist(),
        "reference_tempo_hz": pitch[::-1].tolist(),
    }


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def covariance(random: np.random.Generator, dim: int) -> np.ndarray:
    root = random.normal(size=(dim, dim))
    return root @ root.T / dim


# What every metric of the registry must do.


@pytest.mark.parametrize("name", METRICS.names())
def test_contract(name):
    metric, columns = load_metric(name, ALL), rows()
    assert metric.title
    assert metric.better in ("higher", "lower")
    found = metric.compute({need: columns[need] for need in metric.needs}, QUICK)  # it needs no other columns
    assert math.isfinite(found.value)
    assert metric.span[0] <= found.low <= found.value <= found.high <= metric.span[1]
    assert found.count == 40
    assert metric.compute(columns, QUICK) == found
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("name", METRICS.names())
def test_the_order_of_rows_does_not_matter(name):
    metric, columns = load_metric(name, ALL), rows()
    order = np.random.default_rng(1).permutation(40)
    shuffled = {key: [column[row] for row in order] for key, column in columns.items()}
    assert metric.compute(shuffled, QUICK).value == pytest.approx(metric.compute(columns, QUICK).value)


@pytest.mark.parametrize("name", METRICS.names())
def test_rows_that_lack_something_are_left_out(name):
    metric, columns = load_metric(name, ALL), rows()
    lacking = {key: [*column, None] for key, column in columns.items()}
    assert metric.compute(lacking, QUICK).value == pytest.approx(metric.compute(columns, QUICK).value)
    nothing = {key: [None] * 5 for key in columns}
    with pytest.raises(NotMeasuredError, match=metric.needs[0]):
        metric.compute(nothing, QUICK)


def test_an_unknown_metric_names_the_known():
    with pytest.raises(ValueError, match="onset_agreement"):
        load_metric("fid", ALL)


# Fréchet distance.


def gaussian(mean, covariance_DD) -> Gaussian:
    """One of known moments, by the eigenvectors of its covariance."""
    values, vectors = np.linalg.eigh(covariance_DD)
    is_rounding = values < 1e-12 * values.max()
    return Gaussian(mean, (vectors * np.sqrt(np.where(is_rounding, 0, values))).T)


def test_frechet_of_diagonal_gaussians_is_the_closed_form():
    random = np.random.default_rng(0)
    means, spreads = random.normal(size=(2, 7)), random.uniform(0.1, 3, size=(2, 7))
    expected = ((means[0] - means[1]) ** 2).sum() + ((spreads[0] - spreads[1]) ** 2).sum()
    found = distance(gaussian(means[0], np.diag(spreads[0] ** 2)), gaussian(means[1], np.diag(spreads[1] ** 2)))
    assert found == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("dim", [1, 2, 5, 32])
def test_frechet_of_full_gaussians_is_the_definition(dim):
    random = np.random.default_rng(dim)
    first, second = covariance(random, dim), covariance(random, dim)
    shift = random.normal(size=dim)
    # tr (C1^1/2 C2 C1^1/2)^1/2 is the sum of the roots of the eigenvalues of C1 C2.
    root = np.sqrt(np.maximum(np.linalg.eigvals(first @ second).real, 0)).sum()
    expected = (shift**2).sum() + np.trace(first) + np.trace(second) - 2 * root
    found = distance(gaussian(np.zeros(dim), first), gaussian(shift, second))
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_frechet_of_a_sample_approaches_that_of_its_gaussians():
    random = np.random.default_rng(0)
    first, second = covariance(random, 4), covariance(random, 4)
    shift = np.array([1.0, 0, -1, 0.5])
    samples = random.multivariate_normal(np.zeros(4), first, 60_000), random.multivariate_normal(shift, second, 60_000)
    exact = distance(gaussian(np.zeros(4), first), gaussian(shift, second))
    assert frechet_distance(*samples) == pytest.approx(exact, rel=0.02)


def test_frechet_with_fewer_rows_than_numbers():
    random = np.random.default_rng(0)
    first, second = random.normal(size=(5, 64)), random.normal(size=(9, 64)) + 0.3
    # The same through full covariances, a little made regular.
    moments = [gaussian(x.mean(0), np.cov(x, rowvar=False)) for x in (first, second)]
    assert frechet_distance(first, second) == pytest.approx(distance(*moments), rel=1e-9)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-10)


VECTORS = arrays(np.float64, st.tuples(st.integers(2, 12), st.just(5)), elements=st.floats(-10, 10, width=32))


@settings(max_examples=60, deadline=None)
@given(VECTORS, VECTORS, arrays(np.float64, 5, elements=st.floats(-5, 5, width=32)))
def test_frechet_laws(first, second, shift):
    there = frechet_distance(first, second)
    assert there >= 0
    assert frechet_distance(second, first) == pytest.approx(there, rel=1e-6, abs=1e-7)  # symmetric
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-7)  # zero on itself
    assert frechet_distance(first, first + shift) == pytest.approx((shift**2).sum(), rel=1e-6, abs=1e-6)  # translation
    assert frechet_distance(first + shift, second + shift) == pytest.approx(there, rel=1e-6, abs=1e-6)


def test_frechet_does_not_depend_on_a_rotation():
    random = np.random.default_rng(3)
    first, second = random.normal(size=(30, 6)), 2 * random.normal(size=(20, 6)) + 1
    turn, _ = np.linalg.qr(random.normal(size=(6, 6)))
    assert frechet_distance(first @ turn, second @ turn) == pytest.approx(frechet_distance(first, second))


def test_frechet_refuses_what_has_no_covariance():
    with pytest.raises(ValueError, match="at least 2"):
        fit(np.zeros((1, 4)))
    with pytest.raises(ValueError, match="finite"):
        fit(np.array([[0.0, np.nan], [1.0, 1.0]]))


def test_the_interval_of_a_frechet_distance_covers_other_draws():
    random = np.random.default_rng(0)
    draws = [(random.normal(size=(150, 8)), random.normal(size=(150, 8)) + 0.5) for _ in range(25)]
    values = [frechet_distance(*draw) for draw in draws]
    found = score(*draws[0], QUICK, 20)
    assert found.low < found.value < found.high
    assert 0.2 < (found.high - found.low) / (4 * np.std(values)) < 3


# Shares, means, correlations.


def test_wilson_against_published_values():
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3.
    known = [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
    for successes, count, low, high in known:
        found = wilson(successes, count)
        assert (found.low, found.high) == (pytest.approx(low, abs=5e-4), pytest.approx(high, abs=5e-4))
    assert wilson(20, 20).high == 1


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_mirrors(trial):
    successes, count = trial
    found, mirrored = wilson(successes, count), wilson(count - successes, count)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low == pytest.approx(1 - mirrored.high, abs=1e-9)


def test_wilson_refuses_what_is_no_share():
    with pytest.raises(ValueError, match="3 successes of 2"):
        wilson(3, 2)


def test_class_accuracy_by_class():
    found = class_accuracy(["a", "a", "b", "c"], ["a", "b", "b", "c"])
    assert found.value == 0.75
    assert {name: part.value for name, part in found.parts.items()} == {"a": 1.0, "b": 0.5, "c": 1.0}


def test_the_interval_of_a_mean_is_about_its_standard_error():
    values = np.random.default_rng(0).normal(size=400)
    found = mean(values, IntervalSettings(resamples=2000))
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def test_cosine_is_the_closed_form():
    angles = np.linspace(0, np.pi, 7)
    rays = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    np.testing.assert_allclose(cosine(np.tile([2.0, 0.0], (7, 1)), 3 * rays), np.cos(angles), atol=1e-12)
    assert np.isnan(cosine(np.zeros((1, 2)), np.ones((1, 2))))[0]


def test_correlations_are_the_closed_form():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, 300))
    assert pearson(x, 3 * x + 1) == pytest.approx(1)
    assert pearson(x, -x) == pytest.approx(-1)
    found = correlation(x, 0.6 * x + 0.8 * y, QUICK)
    assert found.low < 0.6 < found.high
    with pytest.raises(NotMeasuredError, match="do not vary"):
        correlation(x, np.ones(300), QUICK)


def test_a_correlation_within_groups_does_not_see_differences_between_them():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, 200))
    groups = ["low"] * 100 + ["high"] * 100
    shift = np.repeat([0.0, 50.0], 100)
    assert pearson(x + shift, y + shift) > 0.99
    assert abs(correlation_within(x + shift, y + shift, groups, QUICK).value) < 0.2
    same = correlation_within(x + shift, 2 * x - shift, groups, QUICK)
    assert same.value == pytest.approx(1)
    assert set(same.parts) == {"low", "high"}


# All together.


def test_measure_says_why_a_metric_is_missing_and_the_table_is_whole():
    columns = rows()
    columns["similarity_to_caption"] = [None] * 40
    columns["judged_class"] = ["<b>|x"] * 40
    results = {result.name: result for result in measure(columns, ALL)}
    assert list(results) == list(METRICS.names())
    assert results["clap_similarity_caption"].score is None
    assert "no row has similarity_to_caption" in results["clap_similarity_caption"].to_dict()["not_measured"]
    assert results["onset_agreement"].score.value == 1
    assert results["onset_agreement"].score.chance < 0.7
    table = to_markdown(list(results.values()), 0.95)
    assert "<b>" not in table
    assert all(line.count("|") in (0, 5, 7) for line in table.splitlines()), table


def test_references_from_elsewhere_are_told():
    ids = [f"segment{row}" for row in range(10)]
    assert references_in_words(ids, dict.fromkeys(ids[:8])).startswith("8 of 10")
    assert "30 embeddings of other segments" in references_in_words(ids, {f"other{row}": None for row in range(30)})


def test_a_score_as_json_holds_no_nan():
    parts = {"a": Score(math.nan, 0, 1, 3)}
    assert Score(0.5, math.nan, 1.0, 4, None, parts).to_dict() == {
        "value": 0.5, "high": 1.0, "count": 4, "parts": {"a": {"low": 0, "high": 1, "count": 3}},
    }  # fmt: skip
