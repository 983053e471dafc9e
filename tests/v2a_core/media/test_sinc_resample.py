"""Resampling as torchaudio's: its own values (tests/data/make_oracles.py), and laws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2a_core.media.resample import resample
from v2a_core.media.sinc_resample import sinc_resample

DATA = Path(__file__).parents[2] / "data"
RATES = [(44_100, 16_000), (48_000, 16_000), (16_000, 48_000), (16_000, 32_000), (22_050, 16_000)]


@pytest.fixture(scope="module")
def theirs():
    with np.load(DATA / "sinc_resample.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("rates", RATES)
def test_equals_torchaudio(theirs, rates):
    expected = theirs["{}_{}".format(*rates)]
    ours = sinc_resample(theirs["sound"], *rates)
    assert len(ours) == -(-len(theirs["sound"]) * rates[1] // rates[0])
    np.testing.assert_allclose(ours[:1000], expected, atol=1e-12)
    single = sinc_resample(theirs["sound"].astype(np.float32), *rates)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single[:1000], expected, atol=1e-6)


def above_8_khz(waveform_T):
    """Of a sound at 48 kHz."""
    return np.abs(np.fft.rfft(waveform_T * np.hanning(len(waveform_T))))[len(waveform_T) // 6 :]


def test_has_the_images_of_torchaudio(theirs):
    """From 16 to 48 kHz they are up to 60 dB louder than what soxr leaves; to networks they are part of the sound."""
    expected = above_8_khz(theirs["16000_48000"])
    ours = sinc_resample(theirs["sound"].astype(np.float32), 16_000, 48_000)[:1000]
    np.testing.assert_allclose(above_8_khz(ours), expected, rtol=1e-3, atol=1e-5)
    quiet = above_8_khz(resample(theirs["sound"].astype(np.float32), 16_000, 48_000)[:1000])
    assert np.median(quiet) < 0.1 * np.median(expected)


@given(
    rates=st.tuples(st.sampled_from([8000, 11_025, 22_050, 44_100, 48_000]), st.sampled_from([16_000, 32_000])),
    samples=st.integers(1, 3000),
    scale=st.floats(-2, 2),
)
def test_is_linear_and_as_long_as_it_should_be(rates, samples, scale):
    old, new = rates
    random = np.random.default_rng(samples)
    one, other = random.standard_normal((2, samples))
    both = sinc_resample(one + scale * other, old, new)
    assert len(both) == -(-samples * new // old)
    np.testing.assert_allclose(both, sinc_resample(one, old, new) + scale * sinc_resample(other, old, new), atol=1e-12)


def test_keeps_what_both_rates_can_hold_and_removes_the_rest():
    time = np.arange(48_000) / 48_000
    kept = sinc_resample(np.sin(2 * np.pi * 1000 * time), 48_000, 16_000)[100:-100]
    np.testing.assert_allclose(kept, np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000)[100:-100], atol=5e-3)
    assert np.abs(sinc_resample(np.sin(2 * np.pi * 10_000 * time), 48_000, 16_000)[100:-100]).max() < 0.01


def test_takes_rates_without_a_common_divisor():
    time = np.arange(11_025) / 11_025
    ours = sinc_resample(np.sin(2 * np.pi * 440 * time), 11_025, 16_001)
    np.testing.assert_allclose(ours[50:-50], np.sin(2 * np.pi * 440 * np.arange(16_001) / 16_001)[50:-50], atol=5e-3)


def test_the_same_rate_and_silence_of_no_length_are_left_as_they_are():
    sound = np.ones(3, np.float32)
    assert sinc_resample(sound, 16_000, 16_000) is sound
    assert sinc_resample(np.zeros(0, np.float32), 44_100, 16_000).shape == (0,)


@pytest.mark.parametrize(("sound", "rates"), [
    (np.zeros(4), (0, 16_000)), (np.zeros(4), (16_000, -1)),
    (np.zeros((2, 4)), (44_100, 16_000)), (np.zeros(4, np.int16), (44_100, 16_000)),
])  # fmt: skip
def test_refuses_what_is_no_sound_and_no_rate(sound, rates):
    with pytest.raises(ValueError, match=r"rates are positive|one channel of floats"):
        sinc_resample(sound, *rates)
