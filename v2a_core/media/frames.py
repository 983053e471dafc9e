"""Frames at wanted times, by decord or by PyAV."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

from v2a_core.media.config import FrameSettings
from v2a_core.media.image import fit
from v2a_core.media.probe import Timeline, demux, open_media, reason, video_stream
from v2a_core.media.types import MediaError

# What decord's ffmpeg of 2021 decodes, in containers in which it seeks to the right frame (not MPEG, not AVI); the
# rest goes to PyAV at once.
_DECORD_CODECS = frozenset({"h264", "hevc", "vp8", "vp9", "mpeg4", "mjpeg"})
_DECORD_CONTAINERS = frozenset({"mov", "matroska"})

Frame = tuple[float, npt.NDArray[np.uint8]]


def sample_times(start_s: float, duration_s: float, settings: FrameSettings) -> npt.NDArray[np.float64]:
    """The centres of `max(1, round(duration * rate))` equal intervals of a segment, float64 (N,)."""
    count = min(max(1, round(duration_s * settings.frames_per_second)), settings.max_frames)
    return start_s + (np.arange(count) + 0.5) * (duration_s / count)


def shown_at(times_s: npt.NDArray[np.float64], timeline: Timeline) -> npt.NDArray[np.int64]:
    """Which frames are on the screen at some times: ascending indices, each once.

    With a variable frame rate one frame can be on the screen at several times; it is embedded once.
    """
    shown = np.searchsorted(timeline.frame_times_s, times_s + 1e-6, side="right") - 1
    return np.unique(np.clip(shown, 0, None)).astype(np.int64)


class FrameReader(Protocol):
    """Reads frames of one video by index into its timeline.

    `errors` counts the packets that failed to decode so far.
    """

    name: str
    errors: int

    def read(self, indices: npt.NDArray[np.int64]) -> list[Frame]:
        """Times (relative to the first frame) and resized frames; frames that do not decode are left out."""
        ...

    def close(self) -> None:
        """Give the file back."""
        ...


class FallbackReader:
    """decord where it can, PyAV where it cannot: for the codec, or from the first error on."""

    def __init__(self, path: Path, timeline: Timeline, image_size: int) -> None:
        self._path, self._timeline, self._image_size = path, timeline, image_size
        self._reader: FrameReader = self._open()

    @property
    def name(self) -> str:
        """The decoder in use."""
        return self._reader.name

    @property
    def errors(self) -> int:
        """Packets that failed to decode so far."""
        return self._reader.errors

    def read(self, indices: npt.NDArray[np.int64]) -> list[Frame]:
        """Times and frames; see `FrameReader.read`."""
        if isinstance(self._reader, DecordReader):
            try:
                return self._reader.read(indices)
            except _DecordError:
                self._reader.close()
                self._reader = AvReader(self._path, self._timeline, self._image_size)
        return self._reader.read(indices)

    def close(self) -> None:
        """Give the file back."""
        self._reader.close()

    def __enter__(self) -> FallbackReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _open(self) -> FrameReader:
        known = _DECORD_CONTAINERS & set(self._timeline.container.split(","))
        if known and self._timeline.codec in _DECORD_CODECS:
            with contextlib.suppress(_DecordError):
                return DecordReader(self._path, self._timeline, self._image_size)
        return AvReader(self._path, self._timeline, self._image_size)


class _DecordError(Exception):
    """decord cannot read this file, or not faithfully."""


class DecordReader:
    """decord, one thread, sorted indices; refuses what it would not read faithfully."""

    name = "decord"
    errors = 0

    def __init__(self, path: Path, timeline: Timeline, image_size: int) -> None:
        try:
            import decord
        except ImportError as error:  # no wheel for this machine
            raise _DecordError from error
        decord.logging.set_level(decord.logging.QUIET)
        self._failures = (decord.DECORDError, decord.DECORDLimitReachedError, RuntimeError, AssertionError, IndexError)
        self._timeline, self._image_size = timeline, image_size
        if timeline.rotation_deg:
            raise _DecordError("decord ignores rotation flags")
        try:
            # A tolerance just above zero: raise where decord would silently repeat a frame it could not decode.
            self._video: Any = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1, fault_tol=1e-9)
        except self._failures as error:
            raise _DecordError from error
        if len(self._video) != len(timeline.frame_times_s):
            raise _DecordError("decord counts other frames than the container shows")

    def read(self, indices: npt.NDArray[np.int64]) -> list[Frame]:
        """Times and frames; see `FrameReader.read`."""
        try:
            frames_NHWC = self._video.get_batch(indices.tolist()).asnumpy()
        except self._failures as error:
            raise _DecordError from error
        times = self._timeline.frame_times_s[indices]
        return [
            (float(time), fit(Image.fromarray(frame), self._image_size))
            for time, frame in zip(times, frames_NHWC, strict=True)
        ]

    def close(self) -> None:
        """Give the file back."""
        self._video = None


class AvReader:
    """PyAV, sequential, seeking to the key frame before the next wanted frame when that skips something."""

    name = "pyav"

    def __init__(self, path: Path, timeline: Timeline, image_size: int) -> None:
        self.errors = 0
        self._timeline, self._image_size = timeline, image_size
        self._scope = contextlib.ExitStack()
        self._container = self._scope.enter_context(open_media(path, "decode"))
        self._stream: Any = video_stream(self._container, "decode")
        self._decoded = self._decode()
        self._position_s = -np.inf
        # AVI stores no presentation times: frames come out in the right order with times in the wrong one.
        self._by_order = timeline.container == "avi"
        self._count = 0

    def read(self, indices: npt.NDArray[np.int64]) -> list[Frame]:
        """Times and frames; see `FrameReader.read`."""
        wanted = self._timeline.frame_times_s[indices]
        self._seek(float(wanted[0]))
        found: list[Frame] = []
        position, tolerance = 0, self._tolerance_s()
        for frame in self._decoded:
            time = self._time_s(frame)
            if time is None or not -tolerance <= time <= self._timeline.frame_times_s[-1] + tolerance:
                continue  # a broken timestamp
            self._position_s = time
            while position < len(wanted) and wanted[position] < time - tolerance:
                position += 1  # its packet did not decode
            if position < len(wanted) and abs(wanted[position] - time) <= tolerance:
                if not frame.is_corrupt:
                    found.append((float(wanted[position]), self._picture(frame)))
                else:
                    self.errors += 1
                position += 1
            if position == len(wanted):
                break
        return found

    def close(self) -> None:
        """Give the file back."""
        self._decoded.close()
        self._scope.close()

    def _seek(self, target_s: float) -> None:
        keys = self._timeline.keyframe_times_s
        before = keys[keys <= target_s + 1e-6]
        key_s = float(before[-1]) if len(before) and not self._by_order else 0.0
        if self._position_s < target_s and self._position_s >= key_s:
            return  # decoding on is the shortest way
        if self._position_s == -np.inf and key_s <= 0:
            return  # at the start already
        self._decoded.close()
        offset = round((key_s + self._timeline.origin_s) / self._stream.time_base)
        with contextlib.suppress(av.FFmpegError):
            self._container.seek(offset, stream=self._stream, backward=True)
        self._stream.codec_context.flush_buffers()
        self._decoded = self._decode()
        self._count = 0

    def _time_s(self, frame: av.VideoFrame) -> float | None:
        """The time of the next decoded frame, relative to the first."""
        if self._by_order:
            self._count += 1
            times = self._timeline.frame_times_s
            return float(times[self._count - 1]) if self._count <= len(times) else None
        if frame.pts is None or frame.time_base is None:
            return None
        return float(frame.pts * frame.time_base) - self._timeline.origin_s

    def _decode(self) -> Any:
        """Frames in the order of presentation; a packet that fails is counted and passed over."""
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
        return fit(Image.fromarray(upright), self._image_size)

    def _tolerance_s(self) -> float:
        times = self._timeline.frame_times_s
        return 0.5 * float(np.median(np.diff(times))) if len(times) > 1 else 0.5


def stack(frames: Sequence[Frame]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Frames uint8 (N, H, W, 3) and their times float32 (N,)."""
    return np.stack([pixels for _, pixels in frames]), np.array([time for time, _ in frames], dtype=np.float32)
