"""How high a sound is: its spectral centroid on a logarithmic axis.

Shapes: T samples, F frames, K frequencies, W samples of a frame.
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
from v2a_core.tables.schema import FLOAT

Floats = npt.NDArray[np.float64]

RATE = 16_000
WINDOW, HOP = 2048, 512
LOWEST_HZ = 40.0
FLOOR = 1e-3  # power below this share of the loudest is noise


def centroid_hz(waveform_T: AnyFloats, sample_rate: int) -> float | None:
    """Where the power of a sound lies: the mean of log frequency, weighted by power, in Hz; None for silence.

    Args:
        waveform_T: Float, one channel; its level does not matter.
        sample_rate: Its rate, Hz.
    """
    frames_FW = _frames(waveform_T, sample_rate)
    if frames_FW is None:
        return None
    power_K = np.square(np.abs(np.fft.rfft(frames_FW * np.hanning(WINDOW), axis=1))).mean(axis=0)
    hz_K = np.fft.rfftfreq(WINDOW, 1 / RATE)
    power_K = np.where((hz_K >= LOWEST_HZ) & (power_K >= FLOOR * power_K.max()), power_K, 0.0)
    if not power_K.any():
        return None
    return float(np.exp((power_K * np.log(np.maximum(hz_K, 1.0))).sum() / power_K.sum()))


class PitchExtractor(SoundExtractor):
    """The log-spectral centroid."""

    columns: ClassVar[tuple[Column, ...]] = (
        Column("pitch_hz", FLOAT, "how high the sound is: its spectral centroid on a logarithmic axis; Hz"),
    )

    def describe(self, sound_T: npt.NDArray[np.float32], sample_rate: int) -> Mapping[str, object]:
        """In Hz."""
        return {"pitch_hz": centroid_hz(sound_T, sample_rate)}


def _frames(waveform_T: AnyFloats, sample_rate: int) -> Floats | None:
    """Overlapping frames at 16 kHz, float64 (F, WINDOW); None for silence."""
    low_T = resample(np.asarray(waveform_T, np.float32), sample_rate, RATE)
    if is_silent(low_T):
        return None
    padded = np.pad(low_T, (0, max(0, WINDOW - len(low_T)))).astype(np.float64)
    frames_FW: Floats = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    return frames_FW


EXTRACTORS.add("pitch", PitchExtractor)
