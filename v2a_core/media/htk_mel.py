"""The mel scale of HTK and Kaldi, which several networks hear with: mel = 1127 ln(1 + hz / 700).

Kaldi's triangles are straight on the mel scale; those of torchaudio and librosa, and of Slaney's scale
(`v2a_core.media.mel_scale`), on the scale of Hz.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from v2a_core.media.mel_scale import triangles

Floats = npt.NDArray[np.float64]

_BREAK_HZ, _MELS = 700.0, 1127.0


def htk_mel_filters(
    rate: int,
    window: int,
    bands: int,
    lowest_hz: float,
    highest_hz: float,
    *,
    straight_in: Literal["mel", "hz"] = "mel",
) -> Floats:
    """Triangular filters of height 1 and of equal width on the mel scale.

    Args:
        rate: Of the sound, Hz.
        window: Samples of the Fourier transform.
        bands: M.
        lowest_hz: Lower edge of the lowest band.
        highest_hz: Upper edge of the highest band, below half the rate.
        straight_in: The scale on which the sides of a triangle are straight.

    Returns:
        Float64 (window // 2 + 1, M).
    """
    lowest, highest = _mel(np.array([lowest_hz, highest_hz]))
    edges = np.linspace(lowest, highest, bands + 2)
    hz_K1 = np.fft.rfftfreq(window, 1 / rate)[:, None]
    return triangles(hz_K1, _hz(edges)) if straight_in == "hz" else triangles(_mel(hz_K1), edges)


def _mel(hz: Floats) -> Floats:
    mels: Floats = _MELS * np.log1p(hz / _BREAK_HZ)
    return mels


def _hz(mels: Floats) -> Floats:
    hz: Floats = _BREAK_HZ * np.expm1(mels / _MELS)
    return hz
