"""Resampling with a windowed sinc, as torchaudio's `resample` does with its defaults.

    y(t) = sum_i x[i] h(i - t),  h(u) = c sinc(c u) cos^2(pi c u / (2 L)) for |c u| < L, else 0

with time in samples of the input, c = rolloff * min(1, new_rate / sample_rate), L = 6 zero crossings, rolloff = 0.99.
AudioLDM's CLAP and networks that judge sounds were trained and are compared on sounds resampled like this; another
resampler (soxr) differs by up to 2 dB just below the new Nyquist frequency. From 16 to 48 kHz this filter leaves images
of the sound above 8 kHz, which a network that was trained with them must hear.

Source: J. O. Smith, Digital Audio Resampling, https://ccrma.stanford.edu/~jos/resample/; the constants are those of
torchaudio.functional.resample.

The pattern of phases repeats after `new_rate / gcd` outputs. Neighbouring outputs share most of their inputs, so some
fifty of them at a time are one product of a small matrix with all repetitions of their inputs: faster than soxr.

Shapes: T samples, P phases of the output against the input, K taps of the filter, R repetitions of the pattern; W
inputs and G outputs of a block.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

ZERO_CROSSINGS = 6
ROLLOFF = 0.99
# More outputs share more inputs, and multiply by more zeros.
_BLOCK_OUTPUTS = 48

FloatT = TypeVar("FloatT", np.float32, np.float64)


def sinc_resample(waveform_T: npt.NDArray[FloatT], sample_rate: int, new_rate: int) -> npt.NDArray[FloatT]:
    """Change the sampling rate.

    Args:
        waveform_T: Float32 or float64, one channel.
        sample_rate: Its rate, Hz.
        new_rate: The wanted rate, Hz.

    Returns:
        Of the same dtype, ceil(T * new_rate / sample_rate) samples; computed in that dtype.

    Raises:
        ValueError: For rates that are not positive, and for what is not one channel of floats.
    """
    if sample_rate < 1 or new_rate < 1:
        raise ValueError(f"cannot resample from {sample_rate} Hz to {new_rate} Hz: rates are positive whole numbers")
    if waveform_T.ndim != 1 or not np.issubdtype(waveform_T.dtype, np.floating):
        raise ValueError(f"give one channel of floats (T,), not {waveform_T.dtype} of shape {waveform_T.shape}")
    if sample_rate == new_rate or not len(waveform_T):
        return waveform_T
    pattern = _pattern(sample_rate, new_rate, waveform_T.dtype.char)
    samples = -(-len(waveform_T) * new_rate // sample_rate)
    repetitions = -(-samples // pattern.outputs)
    # The first block begins before the sound, the last may end behind it.
    before = -pattern.blocks[0].first
    length = before + (repetitions - 1) * pattern.inputs + max(b.first + len(b.filters_WG) for b in pattern.blocks)
    padded_T = np.zeros(max(length, before + len(waveform_T)), waveform_T.dtype)
    padded_T[before : before + len(waveform_T)] = waveform_T
    resampled_RG = np.empty((repetitions, pattern.outputs), waveform_T.dtype)
    for block in pattern.blocks:
        width, outputs = block.filters_WG.shape
        windows = np.lib.stride_tricks.sliding_window_view(padded_T[before + block.first :], width)
        inputs_RW = np.ascontiguousarray(windows[:: pattern.inputs][:repetitions])
        resampled_RG[:, block.start : block.start + outputs] = inputs_RW @ block.filters_WG
    resampled_T: npt.NDArray[FloatT] = resampled_RG.reshape(-1)[:samples]
    return resampled_T


@dataclass(frozen=True)
class _Block:
    """Outputs that follow each other, and what they are made of.

    Attributes:
        start: Number of the first output in the pattern.
        first: The first input, counted from where the pattern begins.
        filters_WG: What each of W inputs gives to each of G outputs.
    """

    start: int
    first: int
    filters_WG: npt.NDArray[np.float32 | np.float64]


@dataclass(frozen=True)
class _Pattern:
    """What repeats: `inputs` samples of the input become `outputs` of the output, in blocks."""

    inputs: int
    outputs: int
    blocks: tuple[_Block, ...]


@functools.lru_cache(maxsize=16)
def _pattern(sample_rate: int, new_rate: int, dtype: str) -> _Pattern:
    common = math.gcd(sample_rate, new_rate)
    old, new = sample_rate // common, new_rate // common
    turns = max(1, _BLOCK_OUTPUTS // new)
    inputs, outputs = old * turns, new * turns
    starts = range(0, outputs, _BLOCK_OUTPUTS)
    blocks = [_block(np.arange(start, min(start + _BLOCK_OUTPUTS, outputs)), old, new, dtype) for start in starts]
    return _Pattern(inputs, outputs, tuple(blocks))


def _block(outputs_G: npt.NDArray[np.int64], old: int, new: int, dtype: str) -> _Block:
    first_G, filters_GK = _filters(outputs_G, old, new)
    taps = filters_GK.shape[1]
    filters_WG = np.zeros((first_G[-1] - first_G[0] + taps, len(outputs_G)), dtype)
    for column, first in enumerate(first_G - first_G[0]):
        filters_WG[first : first + taps, column] = filters_GK[column]
    return _Block(int(outputs_G[0]), int(first_G[0]), filters_WG)


def _filters(
    outputs_P: npt.NDArray[np.int64], old: int, new: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """For each output the first input sample that counts, int64 (P,), and its filter (P, K)."""
    cutoff = ROLLOFF * min(1.0, new / old)
    reach = math.ceil(ZERO_CROSSINGS / cutoff)
    # Whole and broken part apart: the first is exact, whichever outputs are asked for together.
    whole_P, rest_P = np.divmod(outputs_P * old, new)
    offsets_PK = np.arange(-reach, reach + 2) - rest_P[:, None] / new
    angle_PK = cutoff * offsets_PK
    window_PK = np.cos(np.clip(angle_PK / ZERO_CROSSINGS, -1, 1) * (math.pi / 2)) ** 2
    filters_PK: npt.NDArray[np.float64] = cutoff * np.sinc(angle_PK) * window_PK
    return whole_P - reach, filters_PK
