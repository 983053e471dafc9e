"""Where the vocoder begins: as a bank of oscillators, one a mel band, that training then refines.

A convolutional vocoder that hears the same frame again and again repeats a waveform of one hop: it can only make tones
at multiples of the frame rate (100 Hz). From random weights it takes very long to find even these; so each band starts
with the multiple that is nearest to its centre.

Three stages of SpeechT5HifiGan are set: at the frame rate, amplitudes from log-mels; at a low rate (2 kHz), an
oscillator a band, as the real and imaginary part of an alias of its frequency; at the sample rate, a band-pass for each
1 kHz that picks the right alias. Each signal is there twice, with both signs, so that leaky ReLUs let it pass whole.

Shapes: B batch, F frames, M mel bands.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from v2a_core.media.log_mel import MAX_HZ, MEL_BINS, SAMPLE_RATE, mel_filters

if TYPE_CHECKING:
    from transformers import SpeechT5HifiGan

# Leaky ReLUs of log-mels, in deviations from the mean at which they open: two of them bend like an exponential.
_KNEES, _SLOPES = (0.5, 1.5), (0.5, 1.0)
_RMS = 0.1  # of the first sound: a vocoder that begins in the saturation of its tanh learns slowly
_WEAK = 0.005  # deviation of the weights that have no part in the oscillators yet


@torch.no_grad()
def start_as_oscillators(vocoder: SpeechT5HifiGan, mels_BFM: torch.Tensor) -> None:
    """Set the weights of a vocoder with upsampling rates (1, r, r') and at least 2 * 64 channels.

    Args:
        vocoder: Its input is normalised.
        mels_BFM: Log-mels, by which the level of the output is set.

    Raises:
        ValueError: When it has other stages.
    """
    rates = tuple(vocoder.config.upsample_rates)
    if len(rates) != 3 or rates[0] != 1 or vocoder.config.upsample_initial_channel < 2 * MEL_BINS:
        raise ValueError(f"upsample_rates = {rates}: oscillators need (1, r, r') and 128 channels before them")
    amplitudes, oscillators, alias_filters = vocoder.upsampler
    for layer in (vocoder.conv_pre, amplitudes, oscillators, alias_filters, vocoder.conv_post):
        layer.weight.normal_(std=_WEAK)
        layer.bias.zero_()
    for block in vocoder.resblocks:
        for layer in block.convs2:
            layer.weight.mul_(_WEAK)  # near the identity
    _set_amplitudes(vocoder.conv_pre, amplitudes)
    low_rate = SAMPLE_RATE // rates[2]
    _set_oscillators(oscillators, low_rate, rates[1])
    _set_alias_filters(alias_filters, low_rate)
    _set_mix(vocoder.conv_post)
    vocoder.conv_post.weight.mul_(_RMS / vocoder(mels_BFM).std())


def band_centres_hz() -> torch.Tensor:
    """Centre of gravity of each mel band, float32 (M,)."""
    filters_KM = mel_filters()
    frequencies_K1 = torch.linspace(0, MAX_HZ, len(filters_KM))[:, None]
    centres: torch.Tensor = (filters_KM * frequencies_K1).sum(dim=0) / filters_KM.sum(dim=0)
    return centres


def _set_amplitudes(first: torch.nn.Conv1d, second: torch.nn.ConvTranspose1d) -> None:
    for part, (knee, slope) in enumerate(zip(_KNEES, _SLOPES, strict=True)):
        for band in range(MEL_BINS):
            channel = part * MEL_BINS + band
            first.weight[channel, band, first.kernel_size[0] // 2] = 1.0
            assert first.bias is not None
            first.bias[channel] = -knee
            second.weight[channel, band, second.kernel_size[0] // 2] = slope


def _set_oscillators(layer: torch.nn.ConvTranspose1d, low_rate: int, hop: int) -> None:
    """Windowed cosines and sines whose neighbours overlap and add without a seam, at a multiple of the frame rate."""
    taps = layer.kernel_size[0]
    times = torch.arange(taps) - (taps - 1) / 2
    window = torch.cos(math.pi * times / (2 * hop)).square() * (times.abs() < hop)
    frame_rate = low_rate / hop
    multiples = [max(1, round(centre_hz / frame_rate)) for centre_hz in band_centres_hz().tolist()]
    # Bands that share a frequency share its phase: a tone between two of them would else be cancelled.
    phases = 2 * math.pi * torch.rand(max(multiples) + 1)
    for band, multiple in enumerate(multiples):
        frequency_hz = multiple * frame_rate
        angle = 2 * math.pi * frequency_hz / low_rate * times + phases[multiple]
        slot = 4 * _alias(frequency_hz, low_rate)
        layer.weight[band, slot] += window * angle.cos()
        layer.weight[band, slot + 1] -= window * angle.cos()
        layer.weight[band, slot + 2] -= window * angle.sin()
        layer.weight[band, slot + 3] += window * angle.sin()


def _set_alias_filters(layer: torch.nn.ConvTranspose1d, low_rate: int) -> None:
    """Half of the outputs get the sum of the bands, the others its negative."""
    taps = layer.kernel_size[0]
    times = torch.arange(taps) - (taps - 1) / 2
    width_hz = low_rate / 2
    low_pass = torch.sinc(width_hz / SAMPLE_RATE * times) * torch.hann_window(taps)
    low_pass = low_pass / low_pass.sum()
    signs = torch.tensor([1.0, -1.0]).repeat(layer.out_channels // 2)
    for alias in range(int(MAX_HZ / width_hz)):
        angle = 2 * math.pi * (alias + 0.5) * width_hz / SAMPLE_RATE * times
        for slot, carrier in enumerate((angle.cos(), -angle.cos(), angle.sin(), -angle.sin())):
            layer.weight[4 * alias + slot] += signs[:, None] * low_pass * carrier


def _set_mix(layer: torch.nn.Conv1d) -> None:
    middle = layer.kernel_size[0] // 2
    layer.weight[0, 0::2, middle] += 1.0
    layer.weight[0, 1::2, middle] -= 1.0


def _alias(frequency_hz: float, low_rate: int) -> int:
    """Which multiple of half the low rate a frequency lies above."""
    return min(int(MAX_HZ / (low_rate / 2)) - 1, int(frequency_hz // (low_rate / 2)))
