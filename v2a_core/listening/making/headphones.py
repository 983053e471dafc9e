"""A check for headphones: three tones, one of them quieter, one in opposite phase on the two ears.

Through loudspeakers the two sides of that one cancel in the air, so that it seems the quietest. Source: K. J. P. Woods
et al., Headphone screening to facilitate web-based auditory experiments, Attention, Perception & Psychophysics 79
(2017).
"""

from __future__ import annotations

import io
import wave

import numpy as np
import numpy.typing as npt

RATE = 16_000
CHOICES = 3
_TONE_HZ, _TONE_S, _GAP_S, _RAMP_S = 200.0, 1.0, 0.5, 0.1
_LEVEL, _QUIETER_DB = 0.2, 6.0


def headphone_sound(quietest: int, opposite: int) -> npt.NDArray[np.int16]:
    """A trial, int16 (T, 2) at `RATE`.

    Args:
        quietest: Which of the three tones is quieter, from 1.
        opposite: Which one has opposite phases.
    """
    times = np.arange(round(_TONE_S * RATE)) / RATE
    ramp = np.minimum(1.0, np.minimum(times, _TONE_S - times) / _RAMP_S)
    tone = _LEVEL * np.sin(2 * np.pi * _TONE_HZ * times) * ramp
    gap = np.zeros((round(_GAP_S * RATE), 2))
    parts: list[npt.NDArray[np.float64]] = []
    for number in range(1, CHOICES + 1):
        gain = 10 ** (-_QUIETER_DB / 20) if number == quietest else 1.0
        parts += [gain * np.stack([tone, -tone if number == opposite else tone], axis=1), gap]
    samples_TC: npt.NDArray[np.int16] = np.round(np.concatenate(parts[:-1]) * 32767).astype(np.int16)
    return samples_TC


def draw_trials(trials: int, random: np.random.Generator) -> list[tuple[int, int]]:
    """The quietest tone and that of opposite phases of each trial."""
    drawn = (random.permutation(CHOICES)[:2] + 1 for _ in range(trials))
    return [(int(quietest), int(opposite)) for quietest, opposite in drawn]


def wav_bytes(samples_TC: npt.NDArray[np.int16], sample_rate: int) -> bytes:
    """A WAV file of 16 bit with nothing in it but the sound."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(samples_TC.shape[1])
        writer.setsampwidth(2)
        writer.setframerate(sample_rate)
        writer.writeframes(np.ascontiguousarray(samples_TC, "<i2").tobytes())
    return file.getvalue()
