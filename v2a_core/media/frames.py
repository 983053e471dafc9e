"""Frames at wanted times: which ones, and the registry of what reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np
import numpy.typing as npt

from v2a_core.media.config import FrameSettings
from v2a_core.media.frames_av import AvReader, FastAvReader
from v2a_core.media.frames_decord import DecordError, DecordReader
from v2a_core.media.probe import Timeline
from v2a_core.media.types import Frame

# Clocks of containers are rounded: a frame that begins so little before a time is there at that time.
_ROUNDING_S = 1e-6


def wanted(start_s: float, duration_s: float, timeline: Timeline, settings: FrameSettings) -> npt.NDArray[np.int64]:
    """The frames of a segment that are embedded.

    Args:
        start_s: Where it begins, seconds from the first frame.
        duration_s: Its length.
        timeline: The video's clock.
        settings: Which are wanted.

    Returns:
        Their places in the timeline, int64 (N,), ascending, each once; at least one.
    """
    if settings.frames_per_second == "all":
        begin, end = np.searchsorted(timeline.frame_times_s, np.array([start_s, start_s + duration_s]) - _ROUNDING_S)
        if end > begin:
            count = min(int(end - begin), settings.max_frames)
            places: npt.NDArray[np.int64] = (begin + _centres(count, end - begin)).astype(np.int64)
            return places
    return shown_at(start_s + _centres(settings.most(duration_s), duration_s), timeline)


def _centres(count: int, length: float) -> npt.NDArray[np.float64]:
    """The centres of equal intervals, float64 (count,)."""
    centres: npt.NDArray[np.float64] = (np.arange(count) + 0.5) * (length / count)
    return centres


def shown_at(times_s: npt.NDArray[np.float64], timeline: Timeline) -> npt.NDArray[np.int64]:
    """Which frames are on the screen at some times.

    With a variable frame rate one frame can be on the screen at several times; it is embedded once.

    Args:
        times_s: Seconds from the first frame, float64 (N,).
        timeline: The video's clock.

    Returns:
        Their places in the timeline, int64 (at most N,), ascending, each once.
    """
    shown = np.searchsorted(timeline.frame_times_s, times_s + _ROUNDING_S, side="right") - 1
    return np.unique(np.clip(shown, 0, None)).astype(np.int64)


class FrameReader(Protocol):
    """Reads frames of one video by index into its timeline.

    Attributes:
        name: As it stands in the rows.
        errors: Packets and frames that failed to decode so far.
        lost: Wanted frames that could not be had so far.
    """

    name: str
    errors: int
    lost: int

    def __init__(self, path: Path, timeline: Timeline, image_size: int) -> None: ...

    @staticmethod
    def takes(timeline: Timeline, settings: FrameSettings) -> bool:
        """Whether to try it on a file."""
        ...

    def read(self, indices: npt.NDArray[np.int64]) -> list[Frame]:
        """The frames at some places in the timeline, int64 (N,), ascending; those that do not decode are left out.

        Returns:
            For each its time, seconds from the first frame, and its pixels, uint8 (image_size, image_size, 3) RGB.
        """
        ...

    def close(self) -> None:
        """Give the file back."""
        ...


# The first that takes a file reads it; the next one takes over where decord would not be faithful.
READERS: tuple[type[FrameReader], ...] = (DecordReader, FastAvReader, AvReader)


class FallbackReader:
    """The first reader of the registry that can, chosen for each file; from decord's first doubt on the next one."""

    def __init__(self, path: Path, timeline: Timeline, image_size: int, settings: FrameSettings) -> None:
        self._arguments = (path, timeline, image_size)
        self._left = [reader for reader in READERS if reader.takes(timeline, settings)]
        self._reader = self._open()

    @property
    def name(self) -> str:
        """The decoder in use."""
        return self._reader.name

    @property
    def errors(self) -> int:
        """Packets and frames that failed to decode so far."""
        return self._reader.errors

    @property
    def lost(self) -> int:
        """Wanted frames that could not be had so far."""
        return self._reader.lost

    def read(self, indices: npt.NDArray[np.int64]) -> list[Frame]:
        """Times and frames; see `FrameReader.read`."""
        try:
            return self._reader.read(indices)
        except DecordError:
            self._reader.close()
            self._reader = self._open()
        return self._reader.read(indices)

    def close(self) -> None:
        """Give the file back."""
        self._reader.close()

    def __enter__(self) -> FallbackReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _open(self) -> FrameReader:
        reader = self._left.pop(0)
        try:
            return reader(*self._arguments)
        except DecordError:
            return self._open()


def stack(frames: Sequence[Frame]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Frames uint8 (N, H, W, 3) and their times float32 (N,)."""
    return np.stack([pixels for _, pixels in frames]), np.array([time for time, _ in frames], dtype=np.float32)
