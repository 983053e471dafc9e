"""The mel scale of Slaney's Auditory Toolbox, which CLAP, AudioLDM and librosa share.

Linear up to 1 kHz, logarithmic above: 15 mel are 1 kHz, and 27 more are 6.4 times as much.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

_LINEAR_HZ, _LINEAR_MEL = 1000.0, 15.0
_LOG_STEP = math.log(6.4) / 27


def mel_filters(
    rate: int, window: int, bands: int, lowest_hz: float, highest_hz: float, *, equal_area: bool = True
) -> npt.NDArray[np.float64]:
    """Triangular filters of equal width on the mel scale.

    Args:
        rate: Of the sound, Hz.
        window: Samples of the Fourier transform.
        bands: M.
        lowest_hz: Lower edge of the lowest band.
        highest_hz: Upper edge of the highest band.
        equal_area: All filters weigh white noise alike, as models want it; else all have the height 1.

    Returns:
        Float64 (window // 2 + 1, M).
    """
    edges = _hz(np.linspace(_mel(lowest_hz), _mel(highest_hz), bands + 2))
    hz_K1 = np.fft.rfftfreq(window, 1 / rate)[:, None]
    filters_KM = triangles(hz_K1, edges)
    return filters_KM * (2 / (edges[2:] - edges[:-2])) if equal_area else filters_KM


def triangles(places_K1: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Triangles of height 1, each from an edge over the next one to the one after that.

    Args:
        places_K1: Where they are wanted, float64, in the unit of the edges.
        edges: Float64 (M + 2,), ascending.

    Returns:
        Float64 (K, M).
    """
    rise = (places_K1 - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - places_K1) / (edges[2:] - edges[1:-1])
    filters_KM: npt.NDArray[np.float64] = np.maximum(0.0, np.minimum(rise, fall))
    return filters_KM


def _mel(hz: float) -> float:
    return hz * _LINEAR_MEL / _LINEAR_HZ if hz < _LINEAR_HZ else _LINEAR_MEL + math.log(hz / _LINEAR_HZ) / _LOG_STEP


def _hz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    above = np.maximum(mels, _LINEAR_MEL) - _LINEAR_MEL
    hz: npt.NDArray[np.float64] = np.minimum(mels, _LINEAR_MEL) * _LINEAR_HZ / _LINEAR_MEL * np.exp(above * _LOG_STEP)
    return hz
