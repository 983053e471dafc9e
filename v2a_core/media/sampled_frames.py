"""Frames of a video at equal steps, whole or the square in their middle: what networks of metrics take.

The frames are those that ffmpeg's filter `fps` gives out, which rounds times to the nearest step: of each step the last
frame of its first half, so the first frame of one in two seconds is the last one before the first second is over.

Shapes: F frames, H x W pixels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

from v2a_core.media.probe import open_media, reason, tick_s, video_stream
from v2a_core.media.types import MediaError

STAGE = "decode"
_ROUNDING_S = 1e-6


@dataclass(frozen=True)
class SampleRequest:
    """What is to be looked at.

    Attributes:
        path: A local file.
        start_s: From the first frame.
        length_s: As much as is looked at, above 0.
        every_s: From one frame to the next.
        side: Of the shorter side, pixels.
        square: The middle of the longer side alone.
    """

    path: Path
    start_s: float
    length_s: float
    every_s: float
    side: int
    square: bool = False


@dataclass(frozen=True)
class Film:
    """What was seen.

    Attributes:
        frames_FHWC: uint8 RGB, upright; as many as the span has steps, fewer of a shorter video, but one at least.
        length_s: Of what there is of the span.
    """

    frames_FHWC: npt.NDArray[np.uint8]
    length_s: float


def sample(request: SampleRequest) -> Iterator[object]:
    """Look at a video; yields None for each frame that is decoded, and last a `Film`.

    Raises:
        MediaError: When it cannot be read, or has no frame in its span.
    """
    with open_media(request.path, STAGE) as container:
        stream = video_stream(container, STAGE)
        frame_s = 1 / float(stream.average_rate or 25)
        most = max(1, int(request.length_s / request.every_s + _ROUNDING_S))
        taken: list[npt.NDArray[np.uint8]] = []
        latest: av.VideoFrame | None = None
        end_s = 0.0
        for time_s, frame in _frames(container, stream, request, frame_s):
            while len(taken) < most and time_s >= _until_s(request, len(taken)) - _ROUNDING_S:
                taken.append(_picture(frame if latest is None else latest, request))
            latest, end_s = frame, time_s + frame_s
            yield None
        if latest is None:
            raise MediaError(STAGE, "NoFrames", "the video has no frame in its span")
        while len(taken) < most and (not taken or end_s >= _until_s(request, len(taken)) - _ROUNDING_S):
            taken.append(_picture(latest, request))
        yield Film(np.stack(taken), end_s)


def _until_s(request: SampleRequest, step: int) -> float:
    """A step's frame is the last one before this time."""
    return (step + 0.5) * request.every_s


def _frames(
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    request: SampleRequest,
    frame_s: float,
) -> Iterator[tuple[float, av.VideoFrame]]:
    """The frames of the span, with their times from its start."""
    tick = float(tick_s(stream))
    origin_s = float(stream.start_time or 0) * tick + request.start_s
    if request.start_s > 0:
        with contextlib.suppress(av.FFmpegError):
            container.seek(round(origin_s / tick), stream=stream, backward=True)
    for frame in container.decode(stream):
        time_s = (frame.pts or 0) * tick - origin_s
        if time_s >= request.length_s - frame_s / 2:
            return
        if time_s >= -frame_s / 2:
            yield time_s, frame


def _picture(frame: av.VideoFrame, request: SampleRequest) -> npt.NDArray[np.uint8]:
    """A frame, upright, bicubic to the shorter side.

    Pillow's numbers are those of torchvision on tensors but for fewer than one pixel in a hundred, by at most 2 of 255.
    """
    try:
        pixels = frame.to_ndarray(format="rgb24")
    except (av.FFmpegError, ValueError) as error:
        raise MediaError(STAGE, type(error).__name__, f"frame cannot be converted: {reason(error)}") from None
    upright = np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90) % 4))
    (height, width), side = upright.shape[:2], request.side
    size = (side, int(side * height / width)) if width <= height else (int(side * width / height), side)
    small = np.asarray(Image.fromarray(upright).resize(size, Image.Resampling.BICUBIC))
    if not request.square:
        return small
    top, left = (round((length - side) / 2) for length in small.shape[:2])
    return small[top : top + side, left : left + side]
