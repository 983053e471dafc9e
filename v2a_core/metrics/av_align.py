"""AV-Align: how many onsets of a sound and peaks of its video's motion fall together.

    IoU = |pairs| / (|onsets| + |peaks| - |pairs|)

An onset and a peak pair up when they are less than a frame apart, each of them in one pair at most. In the published
script one peak may answer for several onsets, and a score may exceed 1. Source: G. Yariv et al., Diverse and Aligned
Audio-to-Video Generation via Text-to-Video Model Adaptation (TempoTokens), AAAI 2024, arXiv 2309.16429; its onsets are
librosa's, and its motion is the mean magnitude of Farnebäck's optical flow. The score says nothing about sounds without
onsets, such as rain.

Shapes: F frames of a video.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Times = Sequence[float] | Floats

LEAST_MOTION = 0.1  # pixels a frame


def motion_peaks(
    motion_F: npt.NDArray[np.floating[Any]], frames_per_second: float, least: float = LEAST_MOTION
) -> Floats:
    """Times in seconds at which motion is more than in both neighbouring frames, ascending.

    Args:
        motion_F: Motion from the frame before to each frame, such as the mean length of its flow in pixels.
        frames_per_second: Of the video.
        least: A peak has at least so much.
    """
    motion_F = np.asarray(motion_F, np.float64)
    if len(motion_F) < 3:
        return np.zeros(0)
    inner = motion_F[1:-1]
    is_peak = (inner > motion_F[:-2]) & (inner > motion_F[2:]) & (inner >= least)
    peaks: Floats = (np.flatnonzero(is_peak) + 1) / frames_per_second
    return peaks


def av_align(onsets_s: Times, peaks_s: Times, frames_per_second: float) -> float | None:
    """Intersection over union of a sound's onsets and its video's motion peaks, 0..1; None when there are neither.

    Args:
        onsets_s: Of the sound, seconds.
        peaks_s: Of the motion, seconds.
        frames_per_second: Of the video: a frame is the tolerance.
    """
    left = sorted(float(peak) for peak in peaks_s)
    together = 0
    for onset in sorted(float(onset) for onset in onsets_s):
        near = next((peak for peak in left if abs(peak - onset) < 1 / frames_per_second), None)
        if near is not None:
            left.remove(near)
            together += 1
    union = len(onsets_s) + len(peaks_s) - together
    return together / union if union else None
