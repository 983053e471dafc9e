"""Onsets, pitch and tempo, on sounds of which they are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2a_core.metrics.config import IntervalSettings
from v2a_core.metrics.extractors.onsets import onset_times
from v2a_core.metrics.extractors.pitch import centroid_hz
from v2a_core.metrics.extractors.tempo import tempo_hz
from v2a_core.metrics.onsets import OnsetAgreement, OnsetSettings, match_onsets, onset_agreement

RATE = 16_000


def clicks(times_s, seconds: float = 5.0, rate: int = RATE) -> np.ndarray:
    waveform = np.zeros(round(seconds * rate), np.float32)
    waveform[np.round(np.asarray(times_s) * rate).astype(int)] = 0.8
    return waveform


def strokes(times_s, hz: float = 440.0, seconds: float = 5.0, rate: int = RATE) -> np.ndarray:
    """Tones with an attack of 5 ms that ring for 50 ms, over quiet noise."""
    waveform = 1e-3 * np.random.default_rng(0).standard_normal(round(seconds * rate))
    local = np.arange(round(0.5 * rate)) / rate
    tone = np.sin(2 * np.pi * hz * local) * np.minimum(local / 0.005, 1) * np.exp(-local / 0.05)
    for time_s in times_s:
        start = round(time_s * rate)
        part = waveform[start : start + len(tone)]
        part += tone[: len(part)]
    return (0.5 * waveform).astype(np.float32)


def sine(hz: float, seconds: float = 3.0, rate: int = RATE) -> np.ndarray:
    return (0.4 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
@pytest.mark.parametrize("gap_s", [0.12, 0.25, 0.7])
def test_clicks_are_found_where_they_are(gap_s, rate):
    times = np.arange(0.3, 4.8, gap_s)
    found = onset_times(clicks(times, rate=rate), rate)
    assert len(found) == len(times)
    np.testing.assert_allclose(found, times, atol=0.011)


def test_strokes_are_found_and_their_ringing_is_not():
    times = [0.4, 0.9, 1.7, 2.0, 3.3, 4.1]
    np.testing.assert_allclose(onset_times(strokes(times), RATE), times, atol=0.02)


def test_steady_sounds_have_no_onset_but_their_beginning():
    assert len(onset_times(np.zeros(RATE, np.float32), RATE)) == 0
    assert onset_times(sine(440), RATE).tolist() in ([], [0.0])
    noise = 0.1 * np.random.default_rng(0).standard_normal(5 * RATE).astype(np.float32)
    assert len(onset_times(noise, RATE)) <= 1


def test_a_louder_copy_has_the_same_onsets():
    waveform = strokes([0.5, 1.5, 2.1])
    np.testing.assert_array_equal(onset_times(waveform, RATE), onset_times(0.03 * waveform, RATE))


def test_what_is_too_short_has_none():
    assert len(onset_times(np.ones(100, np.float32), RATE)) == 0
    assert tempo_hz(np.ones(100, np.float32), RATE) is None


def test_agreement_is_f1_within_the_tolerance():
    reference = [1.0, 2.0, 3.0, 4.0]
    assert onset_agreement(reference, reference, 0.1) == 1
    assert onset_agreement([1.09, 1.91, 3.0, 4.1], reference, 0.1) == 1
    assert onset_agreement([1.11, 2.2, 2.8, 4.5], reference, 0.1) == 0
    assert onset_agreement([1.0, 2.0], reference, 0.1) == pytest.approx(2 * 1 * 0.5 / 1.5)  # precision 1, recall 0.5
    assert onset_agreement([0.95, 1.0, 1.05], [1.0], 0.1) == pytest.approx(0.5)  # one to one
    assert onset_agreement([], reference, 0.1) == 0
    assert onset_agreement([], [], 0.1) is None


TIMES = st.lists(st.floats(0, 5, width=32), max_size=7)


@settings(max_examples=150, deadline=None)
@given(TIMES, TIMES)
def test_matching_is_the_largest_and_symmetric(first, second):
    pairs = match_onsets(first, second, 0.1)
    assert pairs == match_onsets(second, first, 0.1) == largest_matching(sorted(first), sorted(second))


def largest_matching(first, second) -> int:
    """By trying everything."""
    if not first:
        return 0
    best = largest_matching(first[1:], second)
    for index, time in enumerate(second):
        if abs(first[0] - time) <= 0.1 + 1e-9:
            best = max(best, 1 + largest_matching(first[1:], second[:index] + second[index + 1 :]))
    return best


def test_agreement_of_click_trains_end_to_end():
    times = np.array([0.5, 1.2, 2.2, 3.1, 4.4])
    heard = onset_times(clicks(times), RATE)
    assert onset_agreement(heard, times, 0.1) == 1
    assert onset_agreement(onset_times(clicks(times + 0.05), RATE), heard, 0.1) == 1
    assert onset_agreement(onset_times(clicks(times + 0.25), RATE), heard, 0.1) == 0
    assert onset_agreement(onset_times(clicks(times[:3]), RATE), heard, 0.1) == pytest.approx(2 * 3 / 8)


def test_chance_tells_dense_onsets_from_true_agreement():
    random = np.random.default_rng(0)
    dense = [np.arange(0, 5, 0.1).tolist() for _ in range(12)]
    sparse = [sorted(random.uniform(0, 5, 3).tolist()) for _ in range(12)]
    metric, intervals = OnsetAgreement(OnsetSettings()), IntervalSettings(resamples=50)
    of_dense = metric.compute({"onsets_s": dense, "reference_onsets_s": dense}, intervals)
    assert of_dense.chance == pytest.approx(1)
    found = metric.compute({"onsets_s": sparse, "reference_onsets_s": sparse}, intervals)
    assert found.value == 1
    assert found.chance < 0.5


@pytest.mark.parametrize("hz", [100.0, 440.0, 1234.5, 3500.0])
def test_the_centroid_of_a_sine_is_its_frequency(hz):
    assert centroid_hz(sine(hz), RATE) == pytest.approx(hz, rel=0.01)


def test_the_centroid_of_two_equal_sines_is_their_geometric_mean():
    assert centroid_hz(sine(400) + sine(1600), RATE) == pytest.approx(800, rel=0.01)


def test_the_centroid_follows_the_harmonics_and_silence_has_none():
    tone = 0.3 * sine(220) + sine(440) + sine(660) + 0.5 * sine(880)
    assert centroid_hz(tone, RATE) > 400
    assert centroid_hz(np.zeros(RATE, np.float32), RATE) is None


@pytest.mark.parametrize("measure", [centroid_hz, tempo_hz])
def test_levels_and_rates_do_not_matter(measure):
    times = np.arange(0.2, 4.8, 0.3)
    low = measure(strokes(times), RATE)
    assert measure(0.05 * strokes(times), RATE) == pytest.approx(low, rel=1e-3)
    assert measure(strokes(times, rate=48_000), 48_000) == pytest.approx(low, rel=0.05)


def test_tempo_rises_with_the_rate_of_events():
    rates_hz = [0.7, 1.0, 1.5, 2.5, 4.0, 6.0, 9.0]
    found = [tempo_hz(strokes(np.arange(0.1, 4.9, 1 / rate)), RATE) for rate in rates_hz]
    assert all(np.diff(found) > 0), found
    assert tempo_hz(np.zeros(5 * RATE, np.float32), RATE) is None
