"""Changing the rate of sounds, and from a video's sound to the waveform CLAP takes.

Two resamplers, for two aims. What people or our own measures hear goes through soxr, which leaves no images. CLAP gets
AudioLDM's own path with its windowed sinc, whose images the generator's conditions were trained with.

Source of the path: haoheliu/AudioLDM-training-finetuning, audioldm_train/utilities/data/dataset.py (read_wav_file,
normalize_wav) and audioldm_train/conditional_models.py; repetition as in laion_clap/training/data.py (`repeatpad`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soxr

from v2a_core.media.sinc_resample import sinc_resample
from v2a_core.media.types import MediaSpec

# Half a step of 16 bit: what is never louder is digital silence, whatever its codec made of it.
SILENCE_PEAK = 2.0**-16
MIN_DBFS = -120.0
_BLOCK_SAMPLES = 2**18

Waveform = npt.NDArray[np.float32]


def resample(waveform: Waveform, sample_rate: int, new_rate: int) -> Waveform:
    """Change the sampling rate (soxr, high quality).

    Args:
        waveform: Float32 (T,).
        sample_rate: Its rate, Hz.
        new_rate: The wanted rate, Hz.

    Returns:
        Float32 (round(T * new_rate / sample_rate),).
    """
    if sample_rate == new_rate:
        return waveform
    length = round(len(waveform) * new_rate / sample_rate)
    changed: Waveform = soxr.resample(waveform, sample_rate, new_rate, quality="HQ").astype(np.float32, copy=False)
    return fit_length(changed, length)


@dataclass(frozen=True)
class PlacedSound:
    """A waveform at its place in silence, cut where it is longer; the silence is never held in memory.

    Attributes:
        waveform: Float32 (T,).
        sample_rate: Its rate, Hz.
        start: Samples of silence before it.
        samples: Samples in all.
    """

    waveform: Waveform
    sample_rate: int
    start: int
    samples: int

    def blocks(self) -> Iterator[Waveform]:
        """The sound in pieces that follow each other, float32 (any number of samples,)."""
        for begin in range(0, self.samples, _BLOCK_SAMPLES):
            end = min(begin + _BLOCK_SAMPLES, self.samples)
            part = self.waveform[max(0, begin - self.start) : max(0, end - self.start)]
            before = min(max(0, self.start - begin), end - begin)
            yield np.pad(part, (before, end - begin - before - len(part)))

    def resampled(self, new_rate: int) -> Iterator[Waveform]:
        """As `resample`, in pieces that follow each other, float32 (any number of samples,)."""
        stream = soxr.ResampleStream(self.sample_rate, new_rate, 1, dtype="float32", quality="HQ")
        left = round(self.samples * new_rate / self.sample_rate)
        done = 0
        for block in self.blocks():
            done += len(block)
            piece = stream.resample_chunk(np.ascontiguousarray(block), last=done >= self.samples)[:left]
            left -= len(piece)
            yield piece
        if left:
            yield np.zeros(left, np.float32)


def resampled_blocks(waveform: Waveform, sample_rate: int, new_rate: int) -> Iterator[Waveform]:
    """As `resample` of float32 (T,), in pieces that follow each other, for sound of any length."""
    return PlacedSound(waveform, sample_rate, 0, len(waveform)).resampled(new_rate)


def fit_length(waveform: Waveform, samples: int) -> Waveform:
    """A waveform (T,) cut, or padded with silence, to (samples,)."""
    if len(waveform) >= samples:
        return waveform[:samples]
    return np.pad(waveform, (0, samples - len(waveform)))


def rms_dbfs(waveform: Waveform) -> float:
    """Level of a waveform (T,) relative to full scale, which is 1, in dB; not below -120."""
    power = float(np.mean(np.square(waveform, dtype=np.float64))) if len(waveform) else 0.0
    return max(MIN_DBFS, 10 * np.log10(power)) if power > 0 else MIN_DBFS


def is_silent(waveform: Waveform) -> bool:
    """Whether a waveform (T,) of full scale 1 is digitally silent, a constant offset aside."""
    return not len(waveform) or float(np.ptp(waveform)) <= 2 * SILENCE_PEAK


def clap_waveform(waveform: Waveform, sample_rate: int, spec: MediaSpec) -> Waveform:
    """The audio encoder's input, as AudioLDM made it when its generator was trained.

    The two steps of this path, `level_waveform` and `encoder_waveform`, are apart so that jobs carry the third of it
    from the one to the other.

    Args:
        waveform: Float32 (T,), the first channel; what the encoder cannot hear of a longer one is cut off first.
        sample_rate: Its rate, Hz.
        spec: What the audio encoder wants.

    Returns:
        Float32 (spec.audio_samples,).
    """
    return encoder_waveform(level_waveform(waveform, sample_rate, spec), spec)


def level_waveform(waveform: Waveform, sample_rate: int, spec: MediaSpec) -> Waveform:
    """The first step to the audio encoder's input: resampled to 16 kHz, mean removed, peak 0.5.

    Digital silence stays silence. Everything that the encoder will hear is in it, at a third of the samples.

    AudioLDM's inference cuts a file after it is levelled, its training before: training is followed, because the
    generator learned from it, so mean and peak are those of what is heard.

    Args:
        waveform: Float32 (T,), the first channel; what the encoder cannot hear of a longer one is cut off first.
        sample_rate: Its rate, Hz.
        spec: What the audio encoder wants.

    Returns:
        Float32 (samples,) at `spec.audio_path_sample_rate`, not longer than the encoder hears.
    """
    waveform = waveform[: round(spec.audio_samples / spec.audio_sample_rate * sample_rate)]
    low = sinc_resample(waveform, sample_rate, spec.audio_path_sample_rate)
    if is_silent(waveform) or is_silent(low):  # or nothing below 8 kHz
        return np.zeros(len(low), dtype=np.float32)
    level: Waveform = low - low.mean(dtype=np.float64).astype(np.float32)
    level *= np.float32(0.5 / (float(np.abs(level).max()) + 1e-8))
    return level


def encoder_waveform(levelled: Waveform, spec: MediaSpec) -> Waveform:
    """The second step: resampled to the encoder's rate, repeated as often as it fits and padded with silence.

    AudioLDM asks for repetition, too, but has padded sounds with silence to 10.24 s before, so that it never happens.
    Here short sounds are repeated, as in CLAP's own training: an embedding of a short sound and silence would ask for
    silence, and what is made is as long as the segment.

    Args:
        levelled: What `level_waveform` gave, float32 (samples,).
        spec: What the audio encoder wants.

    Returns:
        Float32 (spec.audio_samples,).
    """
    high = sinc_resample(levelled, spec.audio_path_sample_rate, spec.audio_sample_rate)
    repeats = max(1, spec.audio_samples // max(1, len(high)))
    return np.ascontiguousarray(fit_length(np.tile(high, repeats), spec.audio_samples))
