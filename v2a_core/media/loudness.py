"""The last touch on a generated waveform: loudness, peak, fades."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from v2a_core.media.config import FinishSettings
from v2a_core.media.resample import SILENCE_PEAK, resample
from v2a_core.media.types import MediaError

Samples: TypeAlias = npt.NDArray[np.float32 | np.float64]

# BS.1770 measures in blocks of 0.4 s; what is shorter has no loudness, only a level.
_MIN_MEASURED_S = 0.4

# The meter holds several copies of what it measures in float64. Its filters forget what was before within the lead.
_ABSOLUTE_GATE_LUFS = -70.0
_METER_PIECE_S, _METER_LEAD_S, _BLOCK_HOP_S = 60, 2, 0.1

# At this rate the samples of a signal below 24 kHz are at most 0.7 dB below its highest point (BS.1770-4, annex 2).
_PEAK_RATE = 192_000
_CHUNK_S = 10.0
_PEAK_MARGIN_S = 0.01  # longer than the resampler's filter: an end in the middle of the sound rings


@dataclass(frozen=True)
class FinishedWaveform:
    """A waveform ready to be written, and what was measured on it.

    Attributes:
        waveform: Float32 (T,), within the peak limit.
        sample_rate: Its rate, Hz.
        true_peak_dbtp: Its highest level, oversampled.
        loudness_lufs: Its integrated loudness; of sound shorter than 0.4 s its level.
    """

    waveform: npt.NDArray[np.float32]
    sample_rate: int
    true_peak_dbtp: float
    loudness_lufs: float


def finish_waveform(waveform: npt.NDArray[np.float32], sample_rate: int, settings: FinishSettings) -> FinishedWaveform:
    """Change the rate, fade the ends, bring it to the wanted loudness, lower it where its peak would be too high.

    Without a wanted loudness and a highest peak it stays as it was generated, and is clipped at full scale.

    Args:
        waveform: Float32 (T,).
        sample_rate: Its rate, Hz.
        settings: Loudness, peak, fades.

    Raises:
        MediaError: When it is empty, silent or not finite: no gain makes a soundtrack of that.
    """
    if waveform.ndim != 1 or not len(waveform):
        raise MediaError("finish", "Empty", f"expected a waveform (T,), got shape {waveform.shape}")
    if not np.isfinite(waveform).all():
        raise MediaError("finish", "NotFinite", "the generated waveform holds NaN or infinite samples")
    if max(waveform.max(), -waveform.min()) <= SILENCE_PEAK:
        raise MediaError("finish", "Silent", "the generated waveform is silent")
    # One copy, changed in place: an hour is a quarter of a gigabyte.
    rate = settings.sample_rate_hz
    faded = _fade(resample(waveform, sample_rate, rate).astype(np.float32), round(settings.fade_s * rate))
    peak = true_peak([faded[np.newaxis]], rate)
    if peak <= SILENCE_PEAK:
        raise MediaError("finish", "Silent", "the generated waveform is silent")
    gain = 1.0
    if settings.loudness_lufs != "none":
        gain = 10 ** ((settings.loudness_lufs - loudness([faded[np.newaxis]], rate)) / 20)
    if settings.true_peak_dbtp != "none":
        gain = min(gain, 10 ** (settings.true_peak_dbtp / 20) / peak)
    faded *= np.float32(gain)
    np.clip(faded, -1.0, 1.0, out=faded)
    return FinishedWaveform(
        waveform=faded,
        sample_rate=rate,
        true_peak_dbtp=float(20 * np.log10(peak * gain)),
        loudness_lufs=loudness([faded[np.newaxis]], rate),
    )


def true_peak(blocks: Iterable[Samples], sample_rate: int) -> float:
    """The highest level of a sound, also between its samples; full scale is 1.

    Oversampled as in ITU-R BS.1770-4, annex 2; never below the highest sample. In bounded memory for any length.

    Args:
        blocks: Float (C, any number of samples) of C channels, one after the other.
        sample_rate: Their rate, Hz.
    """
    margin, peak = round(_PEAK_MARGIN_S * sample_rate), 0.0
    for piece, start, end in _stretches(blocks, round(_CHUNK_S * sample_rate), margin, margin):
        peak = max(peak, _oversampled_peak(piece, sample_rate, start, end))
    return peak


def _stretches(blocks: Iterable[Samples], length: int, before: int, after: int) -> Iterator[tuple[Samples, int, int]]:
    """A sound in stretches that follow each other, each with what comes before and after it.

    Args:
        blocks: Float (C, any number of samples), one after the other.
        length: Samples of a stretch; the last one is shorter, or up to `after` longer.
        before: Samples in front of a stretch; the first one has none.
        after: Samples behind a stretch; the last one has none.

    Yields:
        A piece (C, T), and where in it the stretch begins and ends.
    """
    held, samples, start = [], 0, 0
    for block in (part for whole in blocks for part in _parts(whole, max(1, length // 6))):
        held.append(block)
        samples += block.shape[1]
        end = start + length
        if samples >= end + after:
            piece = np.concatenate(held, axis=1)
            yield piece[:, : end + after], start, end
            held, samples, start = [piece[:, end - before :]], piece.shape[1] - end + before, before
    if held:
        yield np.concatenate(held, axis=1), start, samples


def _parts(block: Samples, samples: int) -> Iterator[Samples]:
    return (block[:, start : start + samples] for start in range(0, block.shape[1], samples))


def _oversampled_peak(piece: Samples, sample_rate: int, start: int, end: int) -> float:
    factor = max(4, -(-_PEAK_RATE // sample_rate))
    peak = float(np.abs(piece).max(initial=0.0))
    for channel in piece:
        fine = resample(channel.astype(np.float32), sample_rate, factor * sample_rate)
        peak = max(peak, float(np.abs(fine[factor * start : factor * end]).max(initial=0.0)))
    return peak


def _fade(waveform: npt.NDArray[np.float32], samples: int) -> npt.NDArray[np.float32]:
    """Raised-cosine fades, at most half of the waveform each."""
    samples = min(samples, len(waveform) // 2)
    if samples:
        ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(samples) + 0.5) / samples)
        waveform[:samples] *= ramp
        waveform[-samples:] *= ramp[::-1]
    return waveform


def loudness(blocks: Iterable[Samples], sample_rate: int) -> float:
    """Integrated loudness (ITU-R BS.1770), LUFS; of what is shorter than 0.4 s, or below the gate, its level.

    In bounded memory for any length.

    Args:
        blocks: Float (C, any number of samples) of C channels, one after the other.
        sample_rate: Their rate, Hz.
    """
    energy, samples = 0.0, 0

    def counted() -> Iterator[Samples]:
        nonlocal energy, samples
        for block in (part for whole in blocks for part in _parts(whole, round(_CHUNK_S * sample_rate))):
            energy += float(np.square(block, dtype=np.float64).sum())
            samples += block.shape[1]
            yield block

    measured = _gated(_block_loudness(counted(), sample_rate))
    if np.isfinite(measured):
        return measured
    return float(10 * np.log10(energy / samples)) if energy else -np.inf


def _block_loudness(blocks: Iterable[Samples], sample_rate: int) -> npt.NDArray[np.float64]:
    """Loudness of the blocks of 0.4 s that begin every 0.1 s, float64 (blocks,), measured minute by minute."""
    import pyloudnorm

    meter = pyloudnorm.Meter(sample_rate)
    after = round((_MIN_MEASURED_S - _BLOCK_HOP_S) * sample_rate)
    found = [np.empty(0)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "possible clipped samples" of a waveform that is not finished yet
        for piece, start, _ in _stretches(blocks, _METER_PIECE_S * sample_rate, _METER_LEAD_S * sample_rate, after):
            if piece.shape[1] >= _MIN_MEASURED_S * sample_rate:
                # float64: the filters are recursive.
                meter.integrated_loudness(piece.T.astype(np.float64))
                lead = round(start / sample_rate / _BLOCK_HOP_S)
                found.append(meter.blockwise_loudness[lead : lead + round(_METER_PIECE_S / _BLOCK_HOP_S)])
    return np.concatenate(found)


def _gated(blocks: npt.NDArray[np.float64]) -> float:
    """The mean loudness of the blocks that are not much quieter than the others (BS.1770-4, equations 5 to 7)."""
    audible = blocks[blocks >= _ABSOLUTE_GATE_LUFS]
    return _mean_loudness(audible[audible > _mean_loudness(audible) - 10]) if len(audible) else -np.inf


def _mean_loudness(blocks: npt.NDArray[np.float64]) -> float:
    return float(10 * np.log10(np.mean(10 ** (blocks / 10))))
