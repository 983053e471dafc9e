"""The sound of a span of a video, on the video's clock.

Shapes: T samples, C channels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from v2a_core.media.probe import demux, open_media, tick_s

# Codecs carry state over frames: what follows a seek directly is not exact yet.
_PREROLL_S = 0.25
# Containers round times (Matroska to 1 ms): below this, a frame continues the one before it.
_JITTER_S = 0.02
_MAX_RATE = 384_000


@dataclass(frozen=True)
class Sound:
    """Sound of a span.

    Attributes:
        waveform: Float32 (T,), or (T, C) of all channels, full scale 1; zeros where the track has no sound.
        sample_rate: Its rate, Hz.
        errors: Packets that failed to decode.
        present: Whether any sample was decoded.
    """

    waveform: npt.NDArray[np.float32]
    sample_rate: int
    errors: int
    present: bool


class AudioReader:
    """Reads spans of the first audio track, at its own rate.

    Args:
        path: A local video file.
        origin_s: Container time of the first video frame, where the span's clock starts.
        every_channel: All of its channels instead of the first one.
    """

    def __init__(self, path: Path, origin_s: float, *, every_channel: bool = False) -> None:
        self._origin_s, self._every_channel = origin_s, every_channel
        self._scope = contextlib.ExitStack()
        self._container = self._scope.enter_context(open_media(path, "decode", headers_only=True))
        self._stream = self._container.streams.audio[0]
        self._stream.codec_context.thread_count = 1

    def read(self, start_s: float, duration_s: float) -> Sound | None:
        """The sound from `start_s` on, exactly `duration_s` long; None when the track has no usable format."""
        rate = int(self._stream.codec_context.sample_rate or 0)
        if not 0 < rate <= _MAX_RATE:
            return None
        self._seek(start_s)
        length = max(1, round(duration_s * rate))
        samples = np.zeros((length, self._channels()) if self._every_channel else length, dtype=np.float32)
        errors, present, expected = 0, False, None
        for item in self._frames():
            if item is None:
                errors += 1
                continue
            chunk, time_s = item
            offset = round((time_s - self._origin_s - start_s) * rate)
            if expected is not None and abs(offset - expected) <= _JITTER_S * rate:
                offset = expected
            expected = offset + len(chunk)
            if offset >= len(samples):
                break
            begin, end = max(0, offset), min(len(samples), expected)
            if begin < end:
                samples[begin:end] = chunk[begin - offset : end - offset]
                present = True
        return Sound(samples, rate, errors, present)

    def close(self) -> None:
        """Give the file back."""
        self._scope.close()

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _seek(self, start_s: float) -> None:
        target_s = self._origin_s + start_s - _PREROLL_S
        with contextlib.suppress(av.FFmpegError):
            self._container.seek(round(target_s / tick_s(self._stream)), stream=self._stream, backward=True)
        self._stream.codec_context.flush_buffers()

    def _channels(self) -> int:
        return max(1, int(self._stream.codec_context.channels or 1))

    def _chunk(self, frame: av.AudioFrame) -> npt.NDArray[np.float32]:
        if not self._every_channel:
            return first_channel(frame)
        chunk_TC = every_channel(frame)
        # Of a layout that changes in mid-stream the first channel stands for all.
        return chunk_TC if chunk_TC.shape[1] == self._channels() else np.repeat(chunk_TC[:, :1], self._channels(), 1)

    def _frames(self) -> Iterator[tuple[npt.NDArray[np.float32], float] | None]:
        """Chunks with their container time; None for a packet that fails."""
        rate = self._stream.codec_context.sample_rate
        packets = demux(self._container, [self._stream])
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError:
                yield None
                return
            try:
                frames = self._stream.decode(packet)
            except av.FFmpegError:
                yield None
                continue
            for frame in frames:
                # A rate that changes in mid-stream cannot be put on one grid.
                if frame.time is not None and frame.sample_rate == rate:
                    yield self._chunk(frame), frame.time


def first_channel(frame: av.AudioFrame) -> npt.NDArray[np.float32]:
    """The first channel of an audio frame, float32 (samples,), full scale 1."""
    if frame.format.name == "fltp":  # AAC, MP3, Opus, Vorbis; some fifty frames a second, so each call counts
        return _finite(np.frombuffer(bytes(frame.planes[0]), np.float32, frame.samples))
    values = frame.to_ndarray()
    # Packed formats interleave the channels in one row.
    return _as_float(values[0] if frame.format.is_planar else values[0, :: frame.layout.nb_channels])


def every_channel(frame: av.AudioFrame) -> npt.NDArray[np.float32]:
    """An audio frame, float32 (samples, C), full scale 1."""
    values = frame.to_ndarray()
    return _as_float(values.T if frame.format.is_planar else values[0].reshape(-1, frame.layout.nb_channels))


def _as_float(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Samples of any format as float32, full scale 1."""
    if values.dtype == np.uint8:
        return (values.astype(np.float32) - np.float32(128)) / np.float32(128)
    if np.issubdtype(values.dtype, np.integer):
        return values.astype(np.float32) / np.float32(2 ** (8 * values.dtype.itemsize - 1))
    return _finite(values.astype(np.float32))


def _finite(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return values if np.isfinite(values).all() else np.nan_to_num(values, nan=0.0, posinf=1.0, neginf=-1.0)
