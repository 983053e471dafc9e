"""The vocoder before its training: each mel band is already an oscillator."""

import itertools

import numpy as np
import pytest
import torch

from v2a_core.miniature.audioldm import HOP_LENGTH, MEL_BINS, SAMPLE_RATE, build_vocoder
from v2a_core.miniature.training.oscillators import band_centres_hz, start_as_oscillators
from v2a_core.miniature.training.vocoder import fresh_vocoder, mel_losses

FRAMES = 100
FRAME_RATE = SAMPLE_RATE / HOP_LENGTH
MELS = torch.from_numpy(np.random.default_rng(0).normal(-5, 2, (4, FRAMES, MEL_BINS)).astype(np.float32))


@pytest.fixture(scope="module")
def vocoder():
    return fresh_vocoder(0, MELS)


def multiples() -> list[int]:
    """Of the frame rate, the one that is nearest to the centre of each band."""
    return [max(1, round(centre_hz / FRAME_RATE)) for centre_hz in band_centres_hz().tolist()]


@pytest.mark.parametrize("band", [2, 9, 20, 33, 47, 60])
@torch.inference_mode()
def test_a_loud_band_sounds_at_the_nearest_multiple_of_the_frame_rate(vocoder, band):
    mels = vocoder.mean.expand(1, FRAMES, -1).clone()
    mels[..., band] += 4 * vocoder.scale[band]
    waveform = vocoder(mels)[0, 20 * HOP_LENGTH : -20 * HOP_LENGTH].numpy()
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    found_hz = np.fft.rfftfreq(len(waveform), 1 / SAMPLE_RATE)[spectrum.argmax()]
    assert found_hz == pytest.approx(multiples()[band] * FRAME_RATE, abs=3)


@torch.inference_mode()
def test_bands_that_share_a_frequency_do_not_cancel_each_other(vocoder):
    """A tone between two mel bands is loud in both."""
    pairs = [band for band, (one, next_one) in enumerate(itertools.pairwise(multiples())) if one == next_one]

    def level(*bands):
        mels = vocoder.mean.expand(1, FRAMES, -1).clone()
        for band in bands:
            mels[..., band] += 4 * vocoder.scale[band]
        return float(vocoder(mels)[0, 20 * HOP_LENGTH : -20 * HOP_LENGTH].std())

    assert len(pairs) > 10
    for band in pairs:
        assert level(band, band + 1) > 1.1 * max(level(band), level(band + 1)), multiples()[band]


@torch.inference_mode()
def test_its_first_sounds_are_neither_silent_nor_saturated(vocoder):
    waveforms = vocoder(MELS)
    assert waveforms.shape == (4, FRAMES * HOP_LENGTH)
    assert float(waveforms.std()) > 0.05
    assert float((waveforms.abs() > 0.9).float().mean()) < 0.01


def test_other_stages_are_refused():
    other = build_vocoder(0)
    other.config.upsample_rates = [5, 4, 8]
    with pytest.raises(ValueError, match=r"upsample_rates = \(5, 4, 8\)"):
        start_as_oscillators(other, MELS)


def test_a_tone_in_the_next_band_is_a_smaller_error_than_silence():
    def tone(band):
        mels = torch.full((1, FRAMES, MEL_BINS), -9.0)
        mels[..., band] = 0.0
        return mels

    def blurred(made):
        return float(mel_losses(made, tone(20))["blurred"])

    assert blurred(tone(20)) == 0
    assert blurred(tone(21)) < 0.7 * blurred(torch.full((1, FRAMES, MEL_BINS), -9.0))
