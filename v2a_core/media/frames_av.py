"""Frames by PyAV: every codec, every frame checked; exactly, or faster by skipping what nobody refers to."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

from v2a_core.media.config import FrameSettings
from v2a_core.media.image import Shape, fit
from v2a_core.media.probe import Timeline, demux, open_media, reason, tick_s, video_stream
from v2a_core.media.types import Frame, MediaError

Decoded = tuple[float, av.VideoFrame]


class AvReader:
    """PyAV, sequential, seeking to the key frame before the next wanted frame when that skips something.

    A frame that did not decode, was patched up, or refers to one that was, is left out.

    Args:
        path: A local video file.
        timeline: Its clock.
        image_size: Of the frames, pixels.
        shape: What becomes of a frame.
    """

    name = "pyav"

    def __init__(self, path: Path, timeline: Timeline, image_size: int, shape: Shape = fit) -> None:
        self.errors = 0
        self.lost = 0
        self._timeline, self._image_size, self._shape = timeline, image_size, shape
        self._scope = contextlib.ExitStack()
        self._container = self._scope.enter_context(open_media(path, "decode"))
        self._stream = video_stream(self._container, "decode")
        self._position_s = -np.inf
        # AVI stores no presentation times: frames come out in the right order with times in the wrong one.
        self._by_order = timeline.container == "avi"
        self._restart()

    @staticmethod
    def takes(timeline: Timeline, settings: FrameSettings) -> bool:
        """Whether to try it: always."""
        return True

    def read(self, indices: npt.NDArray[np.int64]) -> list[Frame]:
        """Times and frames; see `frames.FrameReader.read`."""
        wanted = self._timeline.frame_times_s[indices]
        self._seek(float(wanted[0]))
        found: list[Frame] = []
        position, tolerance = 0, self._tolerance_s()
        for time, frame in self._frames:
            while position < len(wanted) and wanted[position] < time - tolerance:
                position += 1
            if position < len(wanted) and abs(wanted[position] - time) <= tolerance:
                found.append((float(wanted[position]), self._picture(frame)))
                position += 1
            if position == len(wanted):
                break
        self.lost += len(wanted) - len(found)
        return found

    def close(self) -> None:
        """Give the file back."""
        self._frames.close()
        self._scope.close()

    def _restart(self) -> None:
        self._frames = self._good_frames()
        self._count = 0
        self._broken_s: float | None = None  # time of the last packet or frame that failed; None: all is well

    def _seek(self, target_s: float) -> None:
        keys = self._timeline.keyframe_times_s
        before = keys[keys <= target_s + 1e-6]
        key_s = float(before[-1]) if len(before) and not self._by_order else 0.0
        if self._position_s < target_s and self._position_s >= key_s:
            return  # decoding on is the shortest way
        if self._position_s == -np.inf and key_s <= 0:
            return  # at the start already
        self._frames.close()
        offset = round((key_s + self._timeline.origin_s) / tick_s(self._stream))
        with contextlib.suppress(av.FFmpegError):
            self._container.seek(offset, stream=self._stream, backward=True)
        self._stream.codec_context.flush_buffers()
        self._restart()

    def _good_frames(self) -> Generator[Decoded, None, None]:
        """Times, relative to the first frame, and frames, in the order of presentation."""
        tolerance = self._tolerance_s()
        for frame in self._decode():
            time = self._time_s(frame)
            if time is None or not -tolerance <= time <= self._timeline.frame_times_s[-1] + tolerance:
                continue  # a broken timestamp
            self._position_s = time
            if frame.is_corrupt:
                self.errors += 1
                self._broken_s = time
            elif self._broken_s is not None and frame.key_frame and time > self._broken_s:
                self._broken_s = None
            if self._broken_s is None:
                yield time, frame

    def _time_s(self, frame: av.VideoFrame) -> float | None:
        """The time of the next decoded frame, relative to the first."""
        if self._by_order:
            self._count += 1
            times = self._timeline.frame_times_s
            return float(times[self._count - 1]) if self._count <= len(times) else None
        return self._since_start(frame.pts, frame.time_base)

    def _since_start(self, stamp: int | None, time_base: Fraction | None) -> float | None:
        return None if stamp is None or time_base is None else float(stamp * time_base) - self._timeline.origin_s

    def _decode(self) -> Iterator[av.VideoFrame]:
        """All frames that come out; a packet that fails is counted and passed over."""
        packets = demux(self._container, [self._stream])
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError:
                self.errors += 1
                packet = None
            try:
                frames = self._stream.decode(packet)
            except av.FFmpegError:
                self.errors += 1
                time = self._since_start(packet.pts, packet.time_base) if packet else None
                self._broken_s = max(self._position_s, 0.0) if time is None else time
                frames = []
            yield from frames
            if packet is None:
                return

    def _picture(self, frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
        try:
            pixels = frame.to_ndarray(format="rgb24")
        except (av.FFmpegError, ValueError) as error:
            raise MediaError("decode", type(error).__name__, f"frame cannot be converted: {reason(error)}") from None
        turns = round(frame.rotation / 90) % 4
        upright = np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels
        return self._shape(Image.fromarray(upright), self._image_size)

    def _tolerance_s(self) -> float:
        times = self._timeline.frame_times_s
        return 0.5 * float(np.median(np.diff(times))) if len(times) > 1 else 0.5


class FastAvReader(AvReader):
    """PyAV without the frames that no other frame refers to, and without the loop filter: nearest frame there is."""

    name = "pyav-fast"
    _REACH_S = 0.5  # encoders put fewer frames than that between two that are referred to

    def __init__(self, path: Path, timeline: Timeline, image_size: int) -> None:
        super().__init__(path, timeline, image_size)
        self._stream.codec_context.skip_frame = "NONREF"
        self._stream.codec_context.options = {"skip_loop_filter": "all"}

    @staticmethod
    def takes(timeline: Timeline, settings: FrameSettings) -> bool:
        """Whether to try it; in AVI, frames are told apart by counting them all."""
        return settings.sampling == "fast" and timeline.container != "avi"

    def read(self, indices: npt.NDArray[np.int64]) -> list[Frame]:
        """The frames nearest to the wanted ones, with their own times; see `frames.FrameReader.read`."""
        wanted = self._timeline.frame_times_s[indices]
        self._seek(float(wanted[0]))
        found: list[Frame] = []
        position = 0
        before: Decoded | None = None
        for time, frame in self._frames:
            while position < len(wanted) and wanted[position] <= time:
                self._take(float(wanted[position]), [before, (time, frame)], found)
                position += 1
            before = (time, frame)
            if position == len(wanted):
                break
        for time in wanted[position:]:
            self._take(float(time), [before], found)
        return found

    def _take(self, wanted_s: float, candidates: list[Decoded | None], found: list[Frame]) -> None:
        near = min((item for item in candidates if item), key=lambda item: abs(item[0] - wanted_s), default=None)
        if near is None or abs(near[0] - wanted_s) > self._REACH_S:
            self.lost += 1
        elif not found or found[-1][0] < near[0]:  # one frame can be the nearest to several times: it is taken once
            found.append((near[0], self._picture(near[1])))
