"""How much moves from each frame of a video to the next: the mean length of Farnebäck's optical flow.

Needs OpenCV, which only this file loads. Source of the flow: G. Farnebäck, Two-Frame Motion Estimation Based on
Polynomial Expansion, SCIA 2003; its settings are those of AV-Align (TempoTokens, arXiv 2309.16429).

Shapes: F frames, H x W pixels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from v2a_core.media.probe import open_media, tick_s, video_stream
from v2a_core.media.types import MediaError

# Pyramid scale, levels, window, iterations, neighbourhood of the polynomial and its sigma, flags.
_FARNEBACK = (0.5, 3, 15, 3, 5, 1.2, 0)
STAGE = "motion"


@dataclass(frozen=True)
class MotionRequest:
    """What is to be looked at.

    Attributes:
        path: A local file.
        start_s: From the first frame.
        length_s: 0: to the end.
    """

    path: Path
    start_s: float
    length_s: float


@dataclass(frozen=True)
class Motion:
    """How much moves.

    Attributes:
        motion_F: Mean length of the flow from the frame before to each frame, pixels, float64; the first frame's is
            that of the second.
        frames_per_second: On average over the file.
    """

    motion_F: npt.NDArray[np.float64]
    frames_per_second: float


def motion_of(request: MotionRequest) -> Iterator[object]:
    """Look at a video; yields None for each frame, and last a `Motion`.

    Raises:
        MediaError: When it cannot be read, does not say how many frames a second it has, or has fewer than two.
    """
    cv2.setNumThreads(1)  # the workers are the parallelism
    with open_media(request.path, STAGE) as container:
        stream = video_stream(container, STAGE)
        if not stream.average_rate:
            raise MediaError(STAGE, "NoRate", "the video does not say how many frames a second it has")
        lengths: list[float] = []
        before: npt.NDArray[np.uint8] | None = None
        for gray_HW in _frames(container, stream, request):
            if before is not None and before.shape == gray_HW.shape:
                lengths.append(flow_length(before, gray_HW))
            before = gray_HW
            yield None
        if not lengths:
            raise MediaError(STAGE, "TooShort", "a motion needs two frames")
        yield Motion(np.array([lengths[0], *lengths]), float(stream.average_rate))


def flow_length(before_HW: npt.NDArray[np.uint8], after_HW: npt.NDArray[np.uint8]) -> float:
    """The mean length of the flow between two pictures in grey, pixels."""
    flow_HW2: npt.NDArray[Any] = np.zeros((*before_HW.shape, 2), np.float32)
    flow_HW2 = np.asarray(cv2.calcOpticalFlowFarneback(before_HW, after_HW, flow_HW2, *_FARNEBACK))
    return float(np.hypot(flow_HW2[..., 0], flow_HW2[..., 1]).mean())


def _frames(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, request: MotionRequest
) -> Iterator[npt.NDArray[np.uint8]]:
    """The frames of the span, in grey."""
    tick, origin_s, half_s = float(tick_s(stream)), float(stream.start_time or 0) * float(tick_s(stream)), 0.0
    half_s = 0.5 / float(stream.average_rate or 25)
    if request.start_s > 0:
        with contextlib.suppress(av.FFmpegError):
            container.seek(round((origin_s + request.start_s) / tick), stream=stream, backward=True)
    for frame in container.decode(stream):
        time_s = (frame.pts or 0) * tick - origin_s
        if request.length_s and time_s >= request.start_s + request.length_s - half_s:
            return
        if time_s >= request.start_s - half_s:
            yield cv2.cvtColor(frame.to_ndarray(format="bgr24"), cv2.COLOR_BGR2GRAY).astype(np.uint8, copy=False)
