"""The denser frames of segments, read in one pass with those that are embedded for the mapper."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from v2a_core.media.frames import FallbackReader, shown_at
from v2a_core.media.motion_energy import motion_energy, small_grey
from v2a_core.media.probe import Timeline
from v2a_core.media.types import Frame, Segment, TimedFrames
from v2a_core.protocols import Floats

# Frames that a reader holds at once in the size of the video: those of 4K have 25 MB each.
_AT_ONCE = 16
_EPSILON = 1e-6

Places = npt.NDArray[np.int64]


class TimedReader:
    """Reads frames of one video, segment by segment in their order.

    Args:
        video: Reads frames.
        timeline: Its clock.
        rate: Denser frames a second.
        begin_s: Where the part of the video begins that is looked at: nothing before it counts.
        keep: Whether their pixels are given on, or only how much moves.
    """

    def __init__(self, video: FallbackReader, timeline: Timeline, rate: float, begin_s: float, keep: bool) -> None:
        self._video, self._timeline, self._rate = video, timeline, rate
        self._begin_s, self._keep = begin_s, keep
        self._last: tuple[int, Floats] | None = None  # place and grey levels of the last frame of the segment before

    def read(self, segment: Segment, indices: Places) -> tuple[list[Frame], TimedFrames]:
        """The frames at some places in the timeline, and the denser frames of their segment.

        Args:
            segment: What is looked at.
            indices: Places, int64 (N,), ascending; those that do not decode are left out.
        """
        count = max(1, math.ceil(segment.duration_s * self._rate - _EPSILON))
        timed = shown_at(segment.start_s + np.arange(count) / self._rate, self._timeline)
        before = self._before(segment, int(timed[0]))
        missing = [before] if before is not None and (self._last is None or self._last[0] != before) else []
        found = dict(self._read(np.unique(np.concatenate([indices, timed, np.array(missing, np.int64)]))))
        grey = {place: small_grey(found[place][1][None])[0] for place in (*missing, *timed) if place in found}
        first_SS = None
        if before is not None:
            first_SS = grey.get(before) if missing or self._last is None else self._last[1]
        kept = [int(place) for place in timed if place in found]
        self._last = (kept[-1], grey[kept[-1]]) if kept else None
        return [found[int(place)] for place in indices if place in found], self._timed(kept, found, grey, first_SS)

    def _before(self, segment: Segment, first: int) -> int | None:
        """The place of the frame from which the first one differs; None where there is none."""
        time_s = segment.start_s - 1 / self._rate
        if time_s < self._begin_s - _EPSILON:
            return None
        place = int(shown_at(np.array([time_s]), self._timeline)[0])
        return place if place < first else None

    def _read(self, places: Places) -> Iterator[tuple[int, Frame]]:
        for part in np.split(places, range(_AT_ONCE, len(places), _AT_ONCE)):
            frames = self._video.read(part)
            if len(frames) == len(part):
                yield from zip(part.tolist(), frames, strict=True)
                continue
            by_time = {float(self._timeline.frame_times_s[place]): int(place) for place in part}
            yield from ((by_time[frame[0]], frame) for frame in frames)

    def _timed(
        self, kept: list[int], found: dict[int, Frame], grey: dict[int, Floats], first_SS: Floats | None
    ) -> TimedFrames:
        if not kept:
            return TimedFrames(np.zeros(0, np.float32), np.zeros(0, np.float32), None)
        frames_NHWC = np.stack([found[place][1] for place in kept]) if self._keep else None
        times_s_N = np.array([found[place][0] for place in kept], np.float32)
        return TimedFrames(times_s_N, motion_energy(np.stack([grey[place] for place in kept]), first_SS), frames_NHWC)
