"""What ImageBind takes of a sound and of a video: short clips, as its published code and av-benchmark cut them.

Sources: the front ends of facebookresearch/ImageBind (`imagebind/data.py`), the places of clips in a sound of
facebookresearch/pytorchvideo (`ConstantClipsPerVideoSampler`), the frames and crops of hkchengrex/av-benchmark.

Shapes: T samples, F frames, M mel bands, H x W pixels, C channels, S clips.
"""

from __future__ import annotations

import functools
import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch

from v2a_core.media.htk_mel import htk_mel_filters

SAMPLE_RATE = 16_000
CLIP_S, SOUND_CLIPS = 2, 3
WINDOW, HOP, POINTS = 400, 160, 512
MEL_BANDS, LOWEST_HZ = 128, 20.0
MEL_FRAMES = 204
PRE_EMPHASIS = 0.97
SOUND_MEAN, SOUND_SPREAD = -4.268, 9.138

SIDE = 224  # pixels
CLIP_FRAMES = 2
FRAMES_PER_SECOND = 0.5
# Of CLIP's training pictures, red, green, blue.
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_SPREAD = (0.26862954, 0.26130258, 0.27577711)


def sound_clips(waveform_T: npt.NDArray[np.float32]) -> torch.Tensor:
    """Three clips of two seconds: the first, the middle and the last of a sound; of a shorter one the whole.

    Args:
        waveform_T: At 16 kHz, at least 400 samples.

    Returns:
        Float32 (3, 1, M, F): normalised log mel power, 0 before that where a clip has no 204 frames.
    """
    sound_T = torch.from_numpy(waveform_T)
    # The same numbers as the published code: a length in seconds is a float, and what is computed of it is exact.
    latest_s = Fraction(max(len(waveform_T) / SAMPLE_RATE - CLIP_S, 0))
    starts_s = [latest_s * place / (SOUND_CLIPS - 1) for place in range(SOUND_CLIPS)]
    spans = [(int(start * SAMPLE_RATE), int((start + CLIP_S) * SAMPLE_RATE)) for start in starts_s]
    return torch.stack([_spectrogram(sound_T[start:end])[None] for start, end in spans])


def log_mel(waveform_T: torch.Tensor) -> torch.Tensor:
    """Log mel power (F, M) of float32 (T,), as Kaldi's fbank without dither and energy computes it."""
    frames_FW = waveform_T.unfold(0, WINDOW, HOP)
    frames_FW = frames_FW - frames_FW.mean(dim=1, keepdim=True)
    before_FW = torch.cat([frames_FW[:, :1], frames_FW[:, :-1]], dim=1)
    shaped_FW = (frames_FW - PRE_EMPHASIS * before_FW) * torch.hann_window(WINDOW, periodic=False)
    power_FK = torch.fft.rfft(shaped_FW, POINTS).abs().square()
    mel_FM: torch.Tensor = power_FK @ _filters()
    return mel_FM.clamp(min=torch.finfo(torch.float32).eps).log()


def film_clips(frames_FHWC: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Each frame with the next one, in three squares: the one edge, the middle, the other edge.

    Args:
        frames_FHWC: RGB, the shorter side of 224 pixels; a single frame is taken twice, as the network does with
            pictures.

    Returns:
        Float32 (S, C, 2, 224, 224), normalised; S is three times the number of pairs.
    """
    if len(frames_FHWC) < CLIP_FRAMES:
        frames_FHWC = np.repeat(frames_FHWC, CLIP_FRAMES, axis=0)
    pixels_FCHW = torch.from_numpy(frames_FHWC).permute(0, 3, 1, 2).float() / 255
    mean, spread = (torch.tensor(values)[:, None, None] for values in (_MEAN, _SPREAD))
    film_CFHW = ((pixels_FCHW - mean) / spread).transpose(0, 1)
    height, width = frames_FHWC.shape[1:3]
    return torch.stack(
        [
            film_CFHW[:, first : first + CLIP_FRAMES, top : top + SIDE, left : left + SIDE]
            for first in range(len(frames_FHWC) - CLIP_FRAMES + 1)
            for top, left in _corners(height, width)
        ]
    )


def _spectrogram(clip_T: torch.Tensor) -> torch.Tensor:
    """Normalised (M, F); what is missing of its 204 frames is 0 before it is normalised."""
    mel_MF = log_mel(clip_T).T[:, :MEL_FRAMES]
    padded_MF = torch.nn.functional.pad(mel_MF, (0, MEL_FRAMES - mel_MF.shape[1]))
    return (padded_MF - SOUND_MEAN) / SOUND_SPREAD


@functools.cache
def _filters() -> torch.Tensor:
    return torch.from_numpy(htk_mel_filters(SAMPLE_RATE, POINTS, MEL_BANDS, LOWEST_HZ, SAMPLE_RATE / 2)).float()


def _corners(height: int, width: int) -> list[tuple[int, int]]:
    """Top and left of the three squares along the longer side."""
    middle_top, middle_left = math.ceil((height - SIDE) / 2), math.ceil((width - SIDE) / 2)
    if height > width:
        return [(0, middle_left), (middle_top, middle_left), (height - SIDE, middle_left)]
    return [(middle_top, 0), (middle_top, middle_left), (middle_top, width - SIDE)]
