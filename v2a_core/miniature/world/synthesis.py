"""Building blocks of the world's sounds: filtered noise, tones, grains at event times.

Everything is causal in randomness: a longer sound begins with the samples of a shorter one. Waveforms are float64
(T,), nominal peak 1, at `Sound.rate` Hz.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from v2a_core.miniature.world.happenings import Events, FloatArray, Happening

_FILTER_S = 0.064  # length of noise filters: resolves bands of about 30 Hz


@dataclass(frozen=True)
class Sound:
    """What a sound is made from: the happening, its events, and the grid of samples."""

    happening: Happening
    events: Events
    rate: int
    samples: int

    @property
    def times_s(self) -> FloatArray:
        """Time of each sample, (T,)."""
        return np.arange(self.samples) / self.rate

    def noise(self, stream: str, gain: Callable[[FloatArray], FloatArray]) -> FloatArray:
        """Gaussian noise with the given gain over frequency in Hz, scaled to an RMS of 1/3 (peaks near 1)."""
        taps = 2 * int(self.rate * _FILTER_S / 2)
        gains = gain(np.fft.rfftfreq(taps, 1 / self.rate) + 1e-3)
        kernel = np.fft.fftshift(np.fft.irfft(gains)) * np.hanning(taps)
        kernel *= 1 / (3 * np.sqrt(np.sum(kernel**2)))
        # The filter looks ahead of the last sample, so that the end of a sound does not depend on its length.
        white = self.happening.rng(stream).standard_normal(self.samples + taps - 1)
        return convolve_valid(white, kernel)

    def oscillate(self, frequency_hz: FloatArray) -> FloatArray:
        """Phase in radians of an oscillator with a frequency for each sample, (T,)."""
        return 2 * np.pi * np.cumsum(frequency_hz) / self.rate

    def envelope(self, attack_s: float, decay_s: float) -> FloatArray:
        """Rises at each event to its strength, falls after it, (T,); the larger of overlapping events counts."""
        envelope = np.zeros(self.samples)
        curve = strike(np.arange(int((attack_s + 6 * decay_s) * self.rate)) / self.rate, attack_s, decay_s)
        for time_s, strength in zip(*self.events, strict=True):
            start = round(time_s * self.rate)
            part = envelope[start : start + len(curve)]
            np.maximum(part, strength * curve[: len(part)], out=part)
        return envelope

    def grains(self, make: Callable[[FloatArray, int], FloatArray], length_s: float) -> FloatArray:
        """A short sound at each event: `make(times_s, number)` gives it, `times_s` counts from the event."""
        out = np.zeros(self.samples)
        grain_times_s = np.arange(int(length_s * self.rate)) / self.rate
        for number, (time_s, strength) in enumerate(zip(*self.events, strict=True)):
            start = round(time_s * self.rate)
            part = out[start : start + len(grain_times_s)]
            part += strength * make(grain_times_s, number)[: len(part)]
        return out

    def tone(self, frequency_hz: float, times_s: FloatArray) -> FloatArray:
        """A sine at some times (T,), seconds; silent where it would alias."""
        if frequency_hz > 0.47 * self.rate:
            return np.zeros_like(times_s)
        sine: FloatArray = np.sin(2 * np.pi * frequency_hz * times_s)
        return sine

    def sweep(self, frequency_hz: FloatArray) -> FloatArray:
        """A sine of changing frequency (T,), Hz, faded out where it would alias."""
        safe = np.clip((0.47 * self.rate - frequency_hz) / 200, 0, 1)
        sine: FloatArray = safe * np.sin(self.oscillate(frequency_hz))
        return sine


def strike(times_s: FloatArray, attack_s: float, decay_s: float) -> FloatArray:
    """An envelope at some times (T,), seconds: linear attack to 1, exponential decay after it."""
    return np.where(times_s < attack_s, times_s / attack_s, np.exp(-np.maximum(times_s - attack_s, 0) / decay_s))


def band(centre_hz: float, octaves: float) -> Callable[[FloatArray], FloatArray]:
    """A bell-shaped gain of frequencies (K,), Hz, on a logarithmic axis; `octaves` is its standard deviation."""
    return lambda hz: np.exp(-0.5 * (np.log2(hz / centre_hz) / octaves) ** 2)


def below(cutoff_hz: float) -> Callable[[FloatArray], FloatArray]:
    """A gain of frequencies (K,), Hz: low pass of second order, with what nobody hears removed."""
    return lambda hz: (hz > 40) / np.sqrt(1 + (hz / cutoff_hz) ** 4)


def convolve_valid(signal: FloatArray, kernel: FloatArray) -> FloatArray:
    """The part of a convolution that sees the whole kernel; by blocks of FFT, so long sounds stay cheap.

    Args:
        signal: Float64 (T,).
        kernel: Float64 (K,).

    Returns:
        Float64 (T - K + 1,).
    """
    taps = len(kernel)
    block = 1 << max(13, (taps - 1).bit_length() + 2)
    hop = block - taps + 1
    spectrum = np.fft.rfft(kernel, block)
    wanted = len(signal) - taps + 1
    padded = np.concatenate([signal, np.zeros(block)])
    starts = np.arange(0, wanted, hop)
    blocks = np.stack([padded[start : start + block] for start in starts])
    result = np.fft.irfft(np.fft.rfft(blocks, axis=1) * spectrum, block, axis=1)[:, taps - 1 :]
    return result.reshape(-1)[:wanted]
