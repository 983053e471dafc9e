"""E-L1: how far the loudness of a made sound is, over time, from that of its reference.

The mean absolute difference of the two curves of root mean square levels. Source: Y. Chung et al., T-Foley: A
Controllable Waveform-Domain Diffusion Model for Temporal-Event-Guided Foley Sound Synthesis, ICASSP 2024, arXiv
2401.09294.

Shapes: T samples, F frames.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from v2a_core.metrics.base import NotMeasuredError

Floats = npt.NDArray[np.float64]

WINDOW, HOP = 512, 128  # samples


def level_curve(waveform_T: npt.NDArray[np.floating[Any]], window: int = WINDOW, hop: int = HOP) -> Floats:
    """Root mean square of each frame, float64 (F,), F = 1 + (T - window) // hop; a shorter sound is padded to one.

    Args:
        waveform_T: Float, one channel, full scale 1.
        window: Samples of a frame.
        hop: Samples between frames.
    """
    padded = np.pad(np.asarray(waveform_T, np.float64), (0, max(0, window - len(waveform_T))))
    sums = np.concatenate([[0.0], np.cumsum(np.square(padded))])
    curve: Floats = np.sqrt(np.maximum(0.0, (sums[window:] - sums[:-window])[::hop]) / window)
    return curve


def event_l1(
    made_T: npt.NDArray[np.floating[Any]],
    reference_T: npt.NDArray[np.floating[Any]],
    window: int = WINDOW,
    hop: int = HOP,
) -> float:
    """Mean absolute difference of the two level curves, over the frames that both have; 0 is equal.

    Args:
        made_T: Float, one channel, full scale 1.
        reference_T: Of the same sample rate.
        window: Samples of a frame.
        hop: Samples between frames.

    Raises:
        NotMeasuredError: For a sound without samples.
    """
    if not len(made_T) or not len(reference_T):
        raise NotMeasuredError("E-L1 needs two sounds that are not empty")
    made_F, reference_F = level_curve(made_T, window, hop), level_curve(reference_T, window, hop)
    frames = min(len(made_F), len(reference_F))
    return float(np.abs(made_F[:frames] - reference_F[:frames]).mean())
