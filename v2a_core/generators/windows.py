"""From the segments of a source to one soundtrack: which window of it each segment's condition shapes, and how much.

A soundtrack is denoised as a whole. The generator sees it through windows, one a segment; around a border between two
segments both see the same frames, and what they make of them is averaged (MultiDiffusion, arXiv:2302.08113). Lengths
here are in frames of the generator's latents, so that a window begins and ends on them.

Shapes: N segments, D numbers of a condition, H frames of a window.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from v2a_core.config import Settings, setting

Floats = npt.NDArray[np.float32]

# 64 log-mel frames of AudioLDM.
GRID_S = 0.64


class JoinSettings(Settings):
    """How neighbouring segments meet."""

    overlap_s: float = setting(
        1.12, "stretch around a border over which one segment's sound turns into the next one's", unit="s", ge=0, le=8
    )


@dataclass(frozen=True)
class Window:
    """A stretch of a soundtrack that the generator sees at once.

    Attributes:
        start: First frame.
        weights_H: Its share in each of its frames, 0..1; the shares of all windows add up to 1 in every frame.
    """

    start: int
    weights_H: Floats

    @property
    def stop(self) -> int:
        """The frame after the last one."""
        return self.start + len(self.weights_H)


@dataclass(frozen=True)
class Layout:
    """A soundtrack in frames.

    Attributes:
        borders: Where segments begin, and the end: segment i owns the frames borders[i] to borders[i + 1]; its noise
            fills them.
        windows: One a segment, all of one length.
    """

    borders: tuple[int, ...]
    windows: tuple[Window, ...]

    @property
    def frames(self) -> int:
        """Length of the soundtrack, a little more than asked for."""
        return self.borders[-1]


def lay_out(
    starts_s: Sequence[float],
    length_s: float,
    frame_s: float,
    factor: int,
    overlap_s: float,
    trained_s: float = math.inf,
) -> Layout:
    """Windows over a soundtrack. They depend on it alone, never on what else is made.

    A window holds its segment, half an overlap beyond each of its borders, and what fills the grid: all windows of a
    job have one length and share batches. It is moved, not shortened, at the ends of a soundtrack.

    Where that would be longer than what the generator was trained with, and a segment is not, windows have the trained
    length, and overlap by what it leaves beside the longest segment: 0.24 s for 10 s of 10.24 s.

    Args:
        starts_s: Starts of the segments, ascending, the first one 0.
        length_s: Length of the soundtrack.
        frame_s: Length of a frame.
        factor: The generator halves frames until this many are one: windows have multiples of it, and begin at them
            where they need not be of the trained length.
        overlap_s: Wanted overlap; less where a segment is shorter than it, or leaves less of the trained length.
        trained_s: Length of what the generator was trained with.
    """
    if len(starts_s) == 1:
        return _one_window(window_frames(length_s, frame_s, factor))
    total = math.ceil(length_s / frame_s / factor - 1e-6) * factor
    borders = (0, *(round(start / frame_s) for start in starts_s[1:]), total)
    halves = _halves(borders, overlap_s / frame_s)
    longest = max(last - first for first, last in itertools.pairwise(borders))
    # Room for moving it onto the grid of the halvings, by up to half a factor and half a frame.
    needed = longest + 2 * math.ceil(max(halves) - 1e-6) + factor + 1
    length = min(total, window_frames(needed * frame_s, frame_s, factor))
    if length * frame_s > trained_s + 1e-6 >= longest * frame_s:
        # Not on the grid of the halvings: moving windows onto it takes more than is left.
        length, factor = math.floor(trained_s / frame_s / factor + 1e-6) * factor, 1
        halves = [min(half, room) for half, room in zip(halves, _room(borders, length), strict=True)]
    starts = [_place(first, last, length, total, factor) for first, last in itertools.pairwise(borders)]
    return Layout(borders, blend(starts, length, borders[1:-1], halves))


def _one_window(frames: int) -> Layout:
    """A soundtrack without borders."""
    return Layout((0, frames), (Window(0, np.ones(frames, np.float32)),))


def _halves(borders: Sequence[int], overlap: float) -> list[float]:
    """Half of the overlap at each inner border, in frames: less where a segment beside it is shorter."""
    around = zip(borders, borders[1:], borders[2:], strict=False)
    return [min(overlap, border - before, after - border) / 2 for before, border, after in around]


def window_frames(length_s: float, frame_s: float, factor: int) -> int:
    """Frames that cover a length: a multiple of `factor`, on a grid of 0.64 s where that fits."""
    on_grid_s = math.ceil(length_s / GRID_S - 1e-6) * GRID_S
    return math.ceil(on_grid_s / frame_s / factor - 1e-6) * factor


def blend(starts: Sequence[int], length: int, borders: Sequence[float], halves: Sequence[float]) -> tuple[Window, ...]:
    """Windows of one length whose shares pass from one to the next in a straight line around each border.

    Args:
        starts: First frames of the windows.
        length: Their length.
        borders: Where a window and the next one have equal shares.
        halves: How far before a border the next window's share rises from 0, and beyond it reaches 1.
    """
    windows = []
    for index, start in enumerate(starts):
        centres = np.arange(start, start + length) + 0.5
        share = _rise(centres, borders[index - 1], halves[index - 1]) if index else np.ones(length)
        if index < len(starts) - 1:
            share = share - _rise(centres, borders[index], halves[index])
        windows.append(Window(start, share.astype(np.float32)))
    return tuple(windows)


def _rise(centres: npt.NDArray[np.float64], border: float, half: float) -> npt.NDArray[np.float64]:
    if half < 1e-6:
        return (centres >= border).astype(np.float64)
    return np.clip((centres - border + half) / (2 * half), 0, 1)


def _room(borders: Sequence[int], length: int) -> list[int]:
    """How far beyond each border both of its windows reach: those at the ends need nothing at their other side."""
    rest = [length - (last - first) for first, last in itertools.pairwise(borders)]
    each = [rest[0], *(frames // 2 for frames in rest[1:-1]), rest[-1]]
    return [min(before, after) for before, after in itertools.pairwise(each)]


def _place(first: int, last: int, length: int, total: int, factor: int) -> int:
    """The start of a window around a segment, inside the soundtrack, on the grid of the halvings."""
    middle = ((first + last - length) // 2 + factor // 2) // factor * factor
    return min(max(0, middle), total - length)
