"""From the segments of a source to one soundtrack: which window each segment's sound fills, and how they are joined."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from v2a_core.config import Settings, setting

Floats = npt.NDArray[np.float32]


class JoinSettings(Settings):
    """How neighbouring segments meet."""

    crossfade_s: float = setting(0.24, "overlap of neighbouring segments, equal-power cross-fade", unit="s", ge=0, le=2)


@dataclass(frozen=True)
class Window:
    """The span of a soundtrack that one segment's generated sound fills, in seconds from its start."""

    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        """Length of the sound to generate."""
        return self.end_s - self.start_s


def plan_windows(starts_s: Sequence[float], total_s: float, crossfade_s: float) -> list[Window]:
    """Windows that cover [0, total_s] without a gap, neighbours overlapping by the cross-fade.

    Args:
        starts_s: Starts of the segments in the soundtrack, ascending, the first one 0.
        total_s: Length of the soundtrack; the last window reaches it, also over a dropped short rest.
        crossfade_s: Wanted overlap; less where a segment is shorter than it.
    """
    borders = [*starts_s[1:], total_s]
    windows = []
    for index, (start, end) in enumerate(zip(starts_s, borders, strict=True)):
        before = _half_overlap(starts_s, borders, index - 1, crossfade_s) if index else 0.0
        after = _half_overlap(starts_s, borders, index, crossfade_s) if index < len(starts_s) - 1 else 0.0
        windows.append(Window(start - before, end + after))
    return windows


def join(windows: Sequence[Window], waveforms: Sequence[Floats], sample_rate: int, total_s: float) -> Floats:
    """One waveform of `round(total_s * sample_rate)` samples from the sounds of its windows.

    Where two windows overlap, their gains are cos and sin of the same angle: the power of unrelated sounds stays
    constant.

    Args:
        windows: As planned.
        waveforms: Float32 (T_i,), at least as long as their windows.
        sample_rate: Hz.
        total_s: Length of the soundtrack in seconds.
    """
    total = round(total_s * sample_rate)
    joined = np.zeros(total, np.float32)
    edges = [(round(window.start_s * sample_rate), min(total, round(window.end_s * sample_rate))) for window in windows]
    for index, ((start, end), waveform) in enumerate(zip(edges, waveforms, strict=True)):
        piece = np.array(waveform[: end - start], np.float32)
        if len(piece) < end - start:
            raise ValueError(f"window {index} needs {end - start} samples, its sound has {len(piece)}")
        if index:
            fade = _quarter_turn(edges[index - 1][1] - start)
            piece[: len(fade)] *= np.sin(fade)
        if index < len(edges) - 1:
            fade = _quarter_turn(end - edges[index + 1][0])
            piece[len(piece) - len(fade) :] *= np.cos(fade)
        joined[start:end] += piece
    return joined


def grid_length_s(length_s: float, grid_s: float = 0.64) -> float:
    """A length rounded up to a grid, so that windows of nearly equal length share a batch.

    It depends on the window alone, never on its batch: the same segment always starts from noise of the same shape.
    The default grid is the one of AudioLDM's latents (64 log-mel frames): 10 s plus a cross-fade of 0.24 s are 16
    steps of it.
    """
    return round(math.ceil(length_s / grid_s - 1e-6) * grid_s, 6)


def _half_overlap(starts: Sequence[float], ends: Sequence[float], left: int, crossfade_s: float) -> float:
    shorter = min(ends[left] - starts[left], ends[left + 1] - starts[left + 1])
    return min(crossfade_s, shorter) / 2


def _quarter_turn(samples: int) -> Floats:
    return ((np.arange(max(0, samples), dtype=np.float32) + 0.5) * (np.pi / 2 / max(1, samples))).astype(np.float32)
