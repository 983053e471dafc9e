"""How fast events follow each other: the centre of the modulation spectrum.

Shapes: T samples, F frames, K frequencies, B bands, M modulation frequencies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.extractors.base import SoundExtractor
from v2a_core.metrics.extractors.onsets import FRAMES_PER_SECOND, compressed_spectrum
from v2a_core.protocols import AnyFloats
from v2a_core.tables.columns import Column
from v2a_core.tables.schema import FLOAT

SLOWEST_HZ, FASTEST_HZ = 0.25, 20.0
BANDS = 32
SHORTEST_S = 0.5


def tempo_hz(waveform_T: AnyFloats, sample_rate: int) -> float | None:
    """How fast a sound changes: the mean log frequency at which its bands rise and fall, weighted by power, in Hz.

    The period of the strongest repetition would be the musical answer, but it jumps to twice or half the true one, and
    rain or fire repeat nothing. This number follows the rate of events in one kind of sound; between kinds it also
    depends on how long an event lasts.

    Args:
        waveform_T: Float, one channel; its level does not matter.
        sample_rate: Its rate, Hz.

    Returns:
        0.25..20 Hz; None for silence and for what is shorter than half a second.
    """
    spectrum_FK = compressed_spectrum(waveform_T, sample_rate)
    if len(spectrum_FK) < SHORTEST_S * FRAMES_PER_SECOND:
        return None
    width = spectrum_FK.shape[1] // BANDS
    bands_FB = spectrum_FK[:, : BANDS * width].reshape(len(spectrum_FK), BANDS, width).mean(axis=2)
    bands_FB = (bands_FB - bands_FB.mean(axis=0)) * np.hanning(len(bands_FB))[:, None]
    points = 1 << max(11, (len(bands_FB) - 1).bit_length())
    power_M = np.square(np.abs(np.fft.rfft(bands_FB, points, axis=0))).sum(axis=1)
    hz_M = np.fft.rfftfreq(points, 1 / FRAMES_PER_SECOND)
    inside = (hz_M >= SLOWEST_HZ) & (hz_M <= FASTEST_HZ)
    power_M, hz_M = power_M[inside], hz_M[inside]
    if not power_M.any():
        return None
    return float(np.exp((power_M * np.log(hz_M)).sum() / power_M.sum()))


class TempoExtractor(SoundExtractor):
    """The centre of the modulation spectrum."""

    columns: ClassVar[tuple[Column, ...]] = (
        Column("tempo_hz", FLOAT, "how fast it changes: centre of its modulation spectrum; Hz"),
    )

    def describe(self, sound_T: npt.NDArray[np.float32], sample_rate: int) -> Mapping[str, object]:
        """In Hz."""
        return {"tempo_hz": tempo_hz(sound_T, sample_rate)}


EXTRACTORS.add("tempo", TempoExtractor)
