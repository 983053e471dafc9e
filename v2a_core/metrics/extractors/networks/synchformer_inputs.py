"""What Synchformer takes of a sound and of a video: overlapping segments of 0.64 s, as av-benchmark cuts them.

Sources: the front ends of v-iashin/Synchformer and of hkchengrex/av-benchmark.

Shapes: S segments, T samples, M mel bands, F frames, H x W pixels, C channels.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt
import torch

from v2a_core.media.htk_mel import htk_mel_filters

SAMPLE_RATE = 16_000
SEGMENT_SAMPLES, STEP_SAMPLES = 10_240, 5_120
POINTS, WINDOW, HOP = 1024, 400, 160
MEL_BANDS, MEL_FRAMES = 128, 66
SOUND_MEAN, SOUND_SPREAD = -4.2677393, 2 * 4.5689974
_SMALLEST = 1e-6

SIDE = 224  # pixels
FRAMES_PER_SECOND = 25.0
SEGMENT_FRAMES, STEP_FRAMES = 16, 8


def sound_segments(waveform_T: npt.NDArray[np.float32]) -> torch.Tensor:
    """Normalised log mel power of each segment of a sound.

    Args:
        waveform_T: At 16 kHz.

    Returns:
        Float32 (S, M, 66), S of whole segments, 0 of a shorter sound. A segment has 65 spectra; the last place is 0
        before it is normalised, so not silence, as in the published code.
    """
    if len(waveform_T) < SEGMENT_SAMPLES:
        return torch.zeros(0, MEL_BANDS, MEL_FRAMES)
    cut_ST = torch.from_numpy(waveform_T).unfold(0, SEGMENT_SAMPLES, STEP_SAMPLES)
    spectra_SKF = torch.stft(
        cut_ST, POINTS, HOP, WINDOW, torch.hann_window(WINDOW), center=True, pad_mode="reflect", return_complex=True
    )
    mel_SMF = _filters() @ spectra_SKF.abs().square()
    log_SMF = (mel_SMF + _SMALLEST).log()
    padded_SMF = torch.nn.functional.pad(log_SMF, (0, MEL_FRAMES - log_SMF.shape[-1]))
    return (padded_SMF - SOUND_MEAN) / SOUND_SPREAD


def film_segments(frames_FHWC: npt.NDArray[np.uint8]) -> torch.Tensor:
    """The segments of a video.

    Args:
        frames_FHWC: RGB, 25 a second, 224 x 224 pixels.

    Returns:
        uint8 (S, C, 16, H, W), S of whole segments, 0 of a shorter video; see `normal`.
    """
    if len(frames_FHWC) < SEGMENT_FRAMES:
        return torch.zeros(0, 3, SEGMENT_FRAMES, SIDE, SIDE, dtype=torch.uint8)
    frames_FCHW = torch.from_numpy(frames_FHWC.copy()).permute(0, 3, 1, 2)
    return frames_FCHW.unfold(0, SEGMENT_FRAMES, STEP_FRAMES).permute(0, 1, 4, 2, 3)


def normal(segments: torch.Tensor) -> torch.Tensor:
    """Pixels from -1 to 1, float32, of uint8."""
    return segments.float() / 127.5 - 1


def segments_of_samples(samples: int) -> int:
    """How many segments a sound at 16 kHz has."""
    return max(0, math.floor((samples - SEGMENT_SAMPLES) / STEP_SAMPLES) + 1)


@functools.cache
def _filters() -> torch.Tensor:
    filters_KM = htk_mel_filters(SAMPLE_RATE, POINTS, MEL_BANDS, 0.0, SAMPLE_RATE / 2, straight_in="hz")
    return torch.from_numpy(filters_KM.T).float()
