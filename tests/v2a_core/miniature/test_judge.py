"""The judge of the world's sounds, and the log-mels it reads."""

import math

import numpy as np
import pytest
import torch

from v2a_core.media.log_mel import FLOOR, log_mel, mel_filters
from v2a_core.metrics.extractors.judge import ATTRIBUTES, Judge, load_judge
from v2a_core.miniature.world import KINDS, WorldSettings, render_sound, sample

RATE = 16_000


@pytest.fixture(scope="module")
def sounds_BT() -> np.ndarray:
    return np.stack([render_sound(sample(WorldSettings(), "validation", i), length_s=2.0) for i in range(6)])


@pytest.fixture(scope="module")
def judge() -> Judge:
    torch.manual_seed(0)
    return Judge(KINDS).eval()


def test_verdicts_are_probabilities_of_all_kinds_and_attributes(judge: Judge, sounds_BT: np.ndarray) -> None:
    verdicts = judge.hear(sounds_BT, RATE)
    assert verdicts.probabilities_BK.shape == (len(sounds_BT), len(KINDS))
    assert verdicts.attributes_B3.shape == (len(sounds_BT), len(ATTRIBUTES))
    np.testing.assert_allclose(verdicts.probabilities_BK.sum(axis=1), 1, rtol=1e-5)


def test_loudness_and_offset_change_no_verdict(judge: Judge, sounds_BT: np.ndarray) -> None:
    quiet = judge.hear(0.05 * sounds_BT + 0.01, RATE)
    np.testing.assert_allclose(quiet.attributes_B3, judge.hear(sounds_BT, RATE).attributes_B3, atol=1e-3)


def test_a_verdict_does_not_depend_on_its_neighbours(judge: Judge, sounds_BT: np.ndarray) -> None:
    together = judge.hear(sounds_BT, RATE).probabilities_BK
    alone = np.concatenate([judge.hear(sound[None], RATE).probabilities_BK for sound in sounds_BT])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_other_sample_rates_are_resampled(judge: Judge) -> None:
    scene = sample(WorldSettings(), "validation", 3)
    low, high = (render_sound(scene, length_s=2.0, sample_rate=rate)[None] for rate in (RATE, 48_000))
    difference = judge.hear(low, RATE).probabilities_BK - judge.hear(high, 48_000).probabilities_BK
    assert np.abs(difference).max() < 0.1


@pytest.mark.parametrize("length_s", [0.1, 0.5, 11.0])
def test_any_length_gives_a_verdict_even_of_silence(judge: Judge, length_s: float) -> None:
    verdicts = judge.hear(np.zeros((1, int(length_s * RATE)), np.float32), RATE)
    assert np.isfinite(verdicts.probabilities_BK).all()
    assert np.isfinite(verdicts.attributes_B3).all()


def test_too_short_a_sound_is_refused(judge: Judge) -> None:
    with pytest.raises(ValueError, match=r"at least 0\.1 s"):
        judge.hear(np.zeros((2, 700), np.float32), RATE)


def test_a_saved_judge_says_the_same(judge: Judge, sounds_BT: np.ndarray, tmp_path) -> None:
    judge.save(tmp_path)
    again = load_judge(tmp_path)
    assert again.kinds == KINDS
    np.testing.assert_allclose(
        again.hear(sounds_BT, RATE).probabilities_BK, judge.hear(sounds_BT, RATE).probabilities_BK, atol=5e-3
    )


def test_without_a_saved_judge_the_folder_is_named(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        load_judge(tmp_path)


def test_log_mel_has_a_frame_each_ten_milliseconds_and_a_floor() -> None:
    mels_BFM = log_mel(torch.zeros(2, 8000))
    assert mels_BFM.shape == (2, 50, 64)
    assert torch.all(mels_BFM == math.log(FLOOR))


def test_a_tone_is_in_the_band_of_its_frequency() -> None:
    for frequency_hz in (300.0, 1000.0, 5000.0):
        tone = torch.sin(2 * torch.pi * frequency_hz * torch.arange(RATE) / RATE)[None]
        band = int(log_mel(tone)[0, 50].argmax())
        centre_hz = float(mel_filters()[:, band].argmax()) * RATE / 1024
        assert centre_hz == pytest.approx(frequency_hz, rel=0.08)


def test_the_filters_are_those_of_librosa() -> None:
    librosa = pytest.importorskip("librosa")
    theirs = librosa.filters.mel(sr=RATE, n_fft=1024, n_mels=64, fmin=0, fmax=8000)  # as AudioLDM calls it
    np.testing.assert_allclose(mel_filters().numpy(), theirs.T, atol=1e-6)
