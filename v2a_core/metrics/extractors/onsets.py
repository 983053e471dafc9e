"""Onsets: when something begins to sound.

Detection by spectral flux with a maximum filter over frequency, so that vibrato is no onset (S. Böck, G. Widmer,
Maximum filter vibrato suppression for onset detection, DAFx 2013).

Shapes: T samples, F frames, K frequencies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from v2a_core.media.resample import is_silent, resample
from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.extractors.base import SoundExtractor
from v2a_core.protocols import AnyFloats
from v2a_core.tables.columns import Column
from v2a_core.tables.schema import FLOATS

Floats = npt.NDArray[np.float64]

RATE = 16_000
WINDOW, HOP = 512, 160
FRAMES_PER_SECOND = RATE / HOP
LAG = 2  # frames between which a rise is measured
COMPRESSION = 30.0  # of magnitudes relative to the sound's level: below a thirtieth of it, rises hardly count
AROUND_S, GAP_S = 0.15, 0.06  # the threshold is the mean flux this far around; onsets are at least this far apart
CONFIDENT_S = 0.05  # of the sound around an onset
PRESENT = 0.1  # share of the mean power that a sound has in its first frame, if it begins there
RISE = 0.12  # above that mean, in nepers a band


def compressed_spectrum(waveform_T: AnyFloats, sample_rate: int) -> Floats:
    """Log-compressed magnitudes, (F, K), 100 frames a second; they do not depend on the level. No frames for silence.

    Args:
        waveform_T: Float, one channel.
        sample_rate: Its rate, Hz.
    """
    low_T = resample(np.asarray(waveform_T, np.float32), sample_rate, RATE)
    if is_silent(low_T) or len(low_T) < WINDOW:
        return np.zeros((0, WINDOW // 2 + 1))
    # Mirrored at the ends: silence around the sound would make its end an event.
    padded = np.pad(low_T.astype(np.float64), WINDOW // 2, mode="reflect")
    frames_FW = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP] * np.hanning(WINDOW)
    magnitude_FK = np.abs(np.fft.rfft(frames_FW, axis=1))
    spectrum_FK: Floats = np.log1p(COMPRESSION * magnitude_FK / np.sqrt(np.square(magnitude_FK).mean()))
    return spectrum_FK


def onset_strength(waveform_T: AnyFloats, sample_rate: int) -> Floats:
    """Spectral flux, (F,): mean rise of the compressed spectrum, 100 frames a second."""
    spectrum_FK = compressed_spectrum(waveform_T, sample_rate)
    if not len(spectrum_FK):
        return np.zeros(0)
    widest_FK = np.max([np.roll(spectrum_FK, shift, axis=1) for shift in (-1, 0, 1)], axis=0)
    flux_F: Floats = np.zeros(len(spectrum_FK))
    flux_F[LAG:] = np.maximum(spectrum_FK[LAG:] - widest_FK[:-LAG], 0).mean(axis=1)
    flux_F[-LAG:] = 0  # what the mirrored end adds
    # Before the first sample there was silence: what is there at once, more than the noise of a room, begins there.
    if np.square(np.expm1(spectrum_FK[0])).mean() > PRESENT * COMPRESSION**2:
        flux_F[0] = spectrum_FK[0].mean()
    return flux_F


def onset_times(waveform_T: AnyFloats, sample_rate: int) -> Floats:
    """Times of the onsets in seconds, ascending, float64; a louder or softer copy has the same."""
    flux_F = onset_strength(waveform_T, sample_rate)
    reach, gap = round(AROUND_S * FRAMES_PER_SECOND), round(GAP_S * FRAMES_PER_SECOND)
    local_F = _running_mean(flux_F, reach)
    times: list[int] = []
    for frame in np.argsort(-flux_F, kind="stable"):
        if flux_F[frame] < local_F[frame] + RISE:
            continue
        if all(abs(frame - other) >= gap for other in times):
            times.append(int(frame))
    return np.sort(np.array(times, np.float64)) / FRAMES_PER_SECOND


def _running_mean(values_F: Floats, reach: int) -> Floats:
    """Mean of each value's neighbourhood, cut off at the ends, (F,)."""
    sums = np.concatenate([[0.0], np.cumsum(values_F)])
    frames = np.arange(len(values_F))
    first, last = np.maximum(frames - reach, 0), np.minimum(frames + reach + 1, len(values_F))
    means: Floats = (sums[last] - sums[first]) / (last - first)
    return means


def onset_confidence(waveform_T: AnyFloats, sample_rate: int, onsets_s: AnyFloats) -> Floats:
    """How strong each onset is: the highest sample within 50 ms of it, where the sound's range is 0..1; float64."""
    low, high = float(waveform_T.min()), float(waveform_T.max())
    normal_T = (np.asarray(waveform_T, np.float64) - low) / (high - low + 1e-6)
    reach = round(CONFIDENT_S * sample_rate)
    places = [min(round(float(onset) * sample_rate), len(normal_T) - 1) for onset in onsets_s]
    return np.array([normal_T[max(0, place - reach) : place + reach].max() for place in places])


class OnsetExtractor(SoundExtractor):
    """Onsets in seconds from the start of the segment."""

    columns: ClassVar[tuple[Column, ...]] = (
        Column("onsets_s", FLOATS, "when something begins to sound, from the start of the segment; s"),
        Column("onset_confidence", FLOATS, "the highest sample around each of them, where the sound's range is 0 to 1"),
    )

    def describe(self, sound_T: npt.NDArray[np.float32], sample_rate: int) -> Mapping[str, object]:
        """Their times, ascending."""
        onsets_s = onset_times(sound_T, sample_rate)
        confidence = onset_confidence(sound_T, sample_rate, onsets_s)
        return {"onsets_s": onsets_s.tolist(), "onset_confidence": confidence.tolist()}


EXTRACTORS.add("onsets", OnsetExtractor)
