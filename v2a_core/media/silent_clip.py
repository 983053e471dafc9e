"""The picture of a span of a video, or of a still, as a small film of its own that every browser plays.

Encoded anew: whatever the original is, the copy is H.264 in MP4, has no sound, and says nothing of where it came from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

from v2a_core.media.encode import RGB, timed_packets
from v2a_core.media.frames_av import AvReader
from v2a_core.media.guard import GuardedDecoder
from v2a_core.media.image import load_image, whole
from v2a_core.media.probe import Timeline, read_timeline
from v2a_core.media.types import MediaError
from v2a_core.media.worker import Call

_TICK = Fraction(1, 1000)
# Frames that are held at once, and how often a still is repeated: players like films of more than one frame.
_HELD = 24
_STILL_S = 0.5


@dataclass(frozen=True)
class ClipRequest:
    """A film that is to be made.

    Attributes:
        path: The video or image.
        kind: `video` or `image`.
        out_path: Where to, an MP4.
        start_s: Where the span begins.
        length_s: Its length; a video that ends before it gives a shorter film.
        longest_side: Of the picture, pixels; a smaller one stays as it is.
    """

    path: Path
    kind: str
    out_path: Path
    start_s: float
    length_s: float
    longest_side: int


def make_clip(guarded: GuardedDecoder, request: ClipRequest) -> float:
    """Make the film in the guarded process.

    Args:
        guarded: The process; its limits hold.
        request: What to make, with absolute paths.

    Returns:
        The film's length, seconds.

    Raises:
        MediaError: When it cannot be made.
        OSError: When there is no room for it.
    """
    request.out_path.touch()  # the process may write this file, and make no other
    call = Call(f"{__name__}:serve_clip", request, (request.path,), (request.out_path,), stage="clip")
    length_s = guarded.run(call, extra_s=request.length_s)
    assert isinstance(length_s, float)
    return length_s


def serve_clip(request: ClipRequest) -> Iterator[float]:
    """Make the film, as the guarded process calls it; yields its length in seconds."""
    shown = _of_still(request) if request.kind == "image" else _of_video(request)
    first = next(shown)
    height, width = first[2].shape[:2]
    end = 0

    def frames() -> Iterator[tuple[int, int, RGB]]:
        nonlocal end
        for start, length, pixels in _chain(first, shown):
            end = start + length
            yield start, length, pixels

    try:
        with av.open(str(request.out_path), "w", container_options={"movflags": "+faststart"}) as container:
            for packet in timed_packets(container, frames(), width, height, _TICK):
                container.mux(packet)
    except av.FFmpegError as error:
        raise MediaError("clip", type(error).__name__, f"the film cannot be encoded: {error}") from None
    yield float(end * _TICK)


def _chain(first: tuple[int, int, RGB], rest: Iterator[tuple[int, int, RGB]]) -> Iterator[tuple[int, int, RGB]]:
    yield first
    yield from rest


def _of_still(request: ClipRequest) -> Iterator[tuple[int, int, RGB]]:
    pixels = load_image(request.path, request.longest_side, whole)
    times = [*range(0, _ticks(request.length_s), _ticks(_STILL_S)), _ticks(request.length_s)]
    for start, end in pairwise(times):
        yield start, end - start, pixels


def _of_video(request: ClipRequest) -> Iterator[tuple[int, int, RGB]]:
    """Start and length in ticks, and pixels, of each frame that is shown in the span."""
    timeline = read_timeline(request.path)
    end_s = min(request.length_s, timeline.duration_s - request.start_s)
    if end_s <= 0:
        there = f"the video is {timeline.duration_s:.2f} s long"
        raise MediaError("clip", "NoFrames", f"{there}: nothing of it is left at {request.start_s:.2f} s")
    before: tuple[int, RGB] | None = None
    for time_s, pixels in _frames(request, timeline, end_s):
        start = max(0, _ticks(time_s - request.start_s))
        if before is not None and start > before[0]:
            yield before[0], start - before[0], before[1]
        # What could not be decoded at the start is the first good frame, shown earlier.
        before = (0 if before is None else start, pixels)
    if before is None:
        raise MediaError("clip", "NoFrames", "no frame of the span could be decoded")
    yield before[0], max(1, _ticks(end_s) - before[0]), before[1]


def _frames(request: ClipRequest, timeline: Timeline, end_s: float) -> Iterator[tuple[float, RGB]]:
    """Times in the video and frames, from the one that is seen when the span begins."""
    times_N = timeline.frame_times_s
    first = max(0, int(np.searchsorted(times_N, request.start_s + 1e-6)) - 1)
    last = int(np.searchsorted(times_N, request.start_s + end_s - 1e-6))
    reader = AvReader(request.path, timeline, request.longest_side, whole)
    try:
        for start in range(first, last, _HELD):
            yield from reader.read(np.arange(start, min(start + _HELD, last)))
    finally:
        reader.close()


def _ticks(seconds: float) -> int:
    return round(seconds / _TICK)
