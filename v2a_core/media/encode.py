"""Encoding video: the one place that does. Soundtracks are muxed beside copied streams (`media/mux.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av
import numpy as np
import numpy.typing as npt
from av.container import OutputContainer
from av.stream import Stream

from v2a_core.media.resample import resampled_blocks
from v2a_core.media.types import MediaError

AAC_RATE = 48_000
_AAC_FRAME = 1024

Packet: TypeAlias = "av.Packet[Stream]"  # a generic class to the type checker alone
Floats: TypeAlias = npt.NDArray[np.float32]
RGB: TypeAlias = npt.NDArray[np.uint8]


def write_video(
    path: Path,
    frames: Iterable[RGB],
    frames_per_second: float,
    waveform: Floats | None = None,
    sample_rate: int = 0,
    *,
    quality: int = 20,
) -> None:
    """Encode frames, and sound, into a file that plays everywhere: H.264 (MPEG-4 where x264 is missing) and AAC.

    Args:
        path: Where to; the suffix chooses the container (mp4, mov, mkv).
        frames: uint8 RGB (H, W, 3) each, all of one size with even sides; read as they are encoded.
        frames_per_second: Their rate.
        waveform: Float32 (T,), -1..1, beginning with the first frame.
        sample_rate: Its rate, Hz.
        quality: x264's constant rate factor; lower is better.

    Raises:
        MediaError: When there is no frame, or frames cannot be encoded.
    """
    pictures = iter(frames)
    first = next(pictures, None)
    if first is None:
        raise MediaError("encode", "Empty", "a video needs at least one frame")
    height, width = first.shape[:2]
    if height % 2 or width % 2:
        raise MediaError("encode", "OddSize", f"{width} x {height} pixels: 4:2:0 video needs even sides")
    try:
        with av.open(str(path), "w") as container:
            video = _add_video(container, width, height, frames_per_second, quality)
            sound: Iterator[Packet] = iter(())
            if waveform is not None:
                sound = aac_packets(container, waveform, sample_rate)
            _write(container, video, _chain(first, pictures), sound)
    except av.FFmpegError as error:
        raise MediaError("encode", type(error).__name__, f"{path.name} cannot be encoded: {error}") from None


def timed_packets(
    container: OutputContainer,
    frames: Iterable[tuple[int, int, RGB]],
    width: int,
    height: int,
    tick: Fraction,
) -> Iterator[Packet]:
    """Add a video track to an output container and encode frames for it, each shown for a time of its own.

    Args:
        container: An output container.
        frames: Time and length, in ticks, and uint8 RGB (height, width, 3); 4:2:0 video needs even sides, so that the
            last row and column are repeated where they are odd.
        width: Pixels.
        height: Pixels.
        tick: Seconds.
    """
    stream = _add_video(container, width + width % 2, height + height % 2, float(1 / tick), quality=20)
    stream.codec_context.time_base = tick
    # The last packet written has to be the last frame shown, as its length is what the file tells of the end.
    stream.options = {**stream.options, "bf": "0"}
    return _encode_timed(stream, frames)


def _encode_timed(stream: av.VideoStream, frames: Iterable[tuple[int, int, RGB]]) -> Iterator[Packet]:
    lengths: dict[int, int] = {}

    def with_length(packets: Iterable[Packet]) -> Iterator[Packet]:
        for packet in packets:
            packet.duration = lengths.pop(packet.pts or 0, 1)
            yield packet

    for start, length, pixels in frames:
        sides = ((0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0))
        frame = av.VideoFrame.from_ndarray(np.pad(pixels, sides, mode="edge"), format="rgb24")
        frame.pts, frame.time_base = start, stream.codec_context.time_base
        lengths[start] = length
        yield from with_length(stream.encode(frame))
    yield from with_length(stream.encode(None))


def aac_packets(
    container: OutputContainer, waveform: Floats, sample_rate: int, aac_rate: int = AAC_RATE
) -> Iterator[Packet]:
    """Add an AAC track to an output container and encode a waveform for it, as packets are asked for.

    At 48 kHz a frame of AAC is 21 ms, so that the track's length is right to within that; at 16 kHz it would be 64.

    Args:
        container: An output container.
        waveform: Float32 (T,), -1..1; time 0 is its start.
        sample_rate: Its rate, Hz.
        aac_rate: Rate of the track, Hz.
    """
    return aac_mono(container, resampled_blocks(waveform, sample_rate, aac_rate), aac_rate)


def aac_mono(container: OutputContainer, pieces: Iterator[Floats], rate: int = AAC_RATE) -> Iterator[Packet]:
    """As `aac_packets`, of pieces float32 (any number of samples,) that have the track's rate."""
    return aac_blocks(container, (np.clip(piece, -1.0, 1.0)[np.newaxis] for piece in pieces), "mono", rate)


def aac_blocks(
    container: OutputContainer, blocks: Iterator[Floats], layout: str, rate: int = AAC_RATE
) -> Iterator[Packet]:
    """Add an AAC track to an output container and encode sound for it block by block, as packets are asked for.

    Args:
        container: An output container.
        blocks: Float32 (channels, any number of samples), -1..1, one after the other.
        layout: `mono` or `stereo`.
        rate: Hz.
    """
    # FFmpeg's other coder takes longer, and at this bit rate it is further from the waveform.
    stream = container.add_stream("aac", rate=rate, layout=layout, options={"aac_coder": "fast"})
    return _encode_audio(stream, blocks, layout, rate)


def time_s(packet: Packet) -> float:
    """When a packet has to be written, seconds; packets without a time come first."""
    stamp = packet.dts if packet.dts is not None else packet.pts
    return float(stamp * packet.time_base) if stamp is not None and packet.time_base else float("-inf")


def interleave(first: Iterator[Packet], second: Iterator[Packet]) -> Iterator[Packet]:
    """Two streams of packets in the order of their times, without holding either in memory."""
    left, right = next(first, None), next(second, None)
    while left is not None or right is not None:
        if right is None or (left is not None and time_s(left) <= time_s(right)):
            assert left is not None
            yield left
            left = next(first, None)
        else:
            yield right
            right = next(second, None)


def _add_video(container: OutputContainer, width: int, height: int, rate: float, quality: int) -> av.VideoStream:
    x264 = "libx264" in av.codecs_available
    # `cpu-independent`: the macroblock tree, as x264 computes it on newer processors, makes other bytes of the same
    # frames each time.
    h264 = {"crf": str(quality), "preset": "veryfast", "x264-params": "cpu-independent=1"}
    options: dict[str, object] = {**h264} if x264 else {"qscale": "4"}
    stream = container.add_stream("libx264" if x264 else "mpeg4", rate=Fraction(rate).limit_denominator(1001))
    stream.width, stream.height, stream.pix_fmt, stream.options = width, height, "yuv420p", options
    stream.codec_context.thread_count = 1
    return stream


def _chain(first: RGB, rest: Iterator[RGB]) -> Iterator[RGB]:
    yield first
    yield from rest


def _write(container: OutputContainer, video: av.VideoStream, frames: Iterator[RGB], sound: Iterator[Packet]) -> None:
    for packet in interleave(_encode_video(video, frames), sound):
        container.mux(packet)


def _encode_video(stream: av.VideoStream, frames: Iterator[RGB]) -> Iterator[Packet]:
    for index, pixels in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame.pts, frame.time_base = index, 1 / stream.codec_context.framerate
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _encode_audio(stream: av.AudioStream, blocks: Iterator[Floats], layout: str, rate: int) -> Iterator[Packet]:
    start = 0
    for chunk in _in_frames(blocks):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(chunk), format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        start += chunk.shape[1]
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _in_frames(blocks: Iterator[Floats]) -> Iterator[Floats]:
    """The same sound in pieces of an AAC frame; only the last one may be shorter."""
    rest: Floats | None = None
    for block in blocks:
        sound = block if rest is None else np.concatenate([rest, block], axis=1)
        whole = sound.shape[1] - sound.shape[1] % _AAC_FRAME
        for start in range(0, whole, _AAC_FRAME):
            yield sound[:, start : start + _AAC_FRAME]
        rest = sound[:, whole:]
    if rest is not None and rest.shape[1]:
        yield rest
