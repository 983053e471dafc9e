"""Opening media files safely, and what is really in them.

Files come from strangers: only known containers are opened, and only the file itself, so that a playlist or a
reference inside it reaches neither other files nor the network.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeVar, cast

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from v2a_core.media import magic
from v2a_core.media.image import MAX_PIXELS
from v2a_core.media.scan import JOINED, PacketScan
from v2a_core.media.types import MediaError

StreamT = TypeVar("StreamT", bound=Stream)

_UNKNOWN_FRAME_S = 0.04
# No picture stands still for longer: what lies beyond is a broken timestamp, which would stand for hours of segments.
_MAX_GAP_S = 600.0


@dataclass(frozen=True)
class Timeline:
    """The clock of a video, read from its packets without decoding them.

    Attributes:
        origin_s: Container time of the first frame; every other time is relative to it.
        frame_times_s: Presentation times of all frames, float64 (N,), ascending, from 0.
        keyframe_times_s: The subset at which decoding can start.
        duration_s: From the first frame to the end of the last.
        decoded_share: What is there / what the container declares, 0..1.
        lost_frames: Frames that are not part of the timeline: their time lies far from all others, or they belong to
            another film in the same file.
        complaints: Errors that reading the container gave rise to; frames may be missing without a trace.
        container: Name of the container, ffmpeg's; several joined by commas.
        codec: Name of the video codec.
        width: Width, pixels, as coded.
        height: Height, pixels, as coded.
        rotation_deg: Degrees by which frames have to be turned counterclockwise to be upright.
        has_audio: Whether there is an audio track with a known codec.
    """

    origin_s: float
    frame_times_s: npt.NDArray[np.float64]
    keyframe_times_s: npt.NDArray[np.float64]
    duration_s: float
    decoded_share: float
    lost_frames: int
    complaints: int
    container: str
    codec: str
    width: int
    height: int
    rotation_deg: int
    has_audio: bool


@contextlib.contextmanager
def open_media(path: Path, stage: str = "probe", *, headers_only: bool = False) -> Iterator[InputContainer]:
    """Open a container of a known kind, and nothing but the given bytes.

    Args:
        path: A local file.
        stage: Of the error.
        headers_only: Learn of pictures what headers tell, in a tenth of the time. How a stream orders its frames then
            stays unknown: not for those who decode or copy it.

    Raises:
        MediaError: When the file cannot be opened; errors inside the block pass through.
    """
    try:
        name = magic.container_of(path, stage)
        container = _open(path, name, headers_only)
        if headers_only and not all(_is_described(stream) for stream in container.streams.video):
            container.close()
            container = _open(path, name, headers_only=False)
    except FileNotFoundError:
        raise MediaError("fetch", "NotFound", f"no file {path}") from None
    except MediaError:
        raise
    except (av.FFmpegError, ValueError) as error:
        raise MediaError(stage, type(error).__name__, f"not a readable video: {reason(error)}") from None
    except OSError as error:
        raise MediaError("fetch", type(error).__name__, f"the file cannot be read: {reason(error)}") from None
    try:
        yield container
    finally:
        container.close()


def _open(path: Path, name: str, headers_only: bool) -> InputContainer:
    # With the protocol in front, no file name can be taken for another protocol.
    return av.open(
        f"file:{path.absolute()}",
        format=name,
        container_options={"format_whitelist": magic.CONTAINERS, "protocol_whitelist": "file"},
        options={"skip_frame": "all"} if headers_only else {},
        metadata_errors="replace",
    )


def _is_described(stream: VideoStream) -> bool:
    codec = stream.codec_context  # None for a codec this ffmpeg does not know
    return codec is None or bool(codec.width)


def reason(error: BaseException) -> str:
    """The words of an error without the path ffmpeg adds, which may be a temporary one."""
    return str(getattr(error, "strerror", None) or error)


def video_stream(container: InputContainer, stage: str = "probe") -> VideoStream:
    """The first real video stream, set to one thread: the workers are the parallelism.

    Raises:
        MediaError: When there is none, its codec is not known, or its pictures are larger than 100 megapixels.
    """
    pictures = [stream for stream in container.streams.video if not is_cover(stream)]
    if not pictures:
        raise MediaError(stage, "NoVideo", "the file has no video stream")
    stream = pictures[0]
    codec = stream.codec_context  # None for a codec this ffmpeg does not know
    if codec is None or not codec.width:
        raise MediaError(stage, "UnknownCodec", "the video stream's codec is not known or its header is missing")
    if codec.width * codec.height > MAX_PIXELS:
        raise MediaError(
            stage, "TooLarge", f"{codec.width} x {codec.height} pixels; at most {MAX_PIXELS:,} are decoded"
        )
    codec.thread_count = 1
    stream.thread_type = "NONE"
    return stream


def tick_s(stream: Stream) -> Fraction:
    """The unit in which a stream counts its times, seconds.

    Raises:
        MediaError: When the file gives none.
    """
    if stream.time_base is None:
        raise MediaError("decode", "NoTimes", f"stream {stream.index} does not say in which unit it counts its times")
    return stream.time_base


def read_timeline(path: Path) -> Timeline:
    """Read every packet's times.

    Raises:
        MediaError: When there is no video packet with a time.
    """
    with _listening() as heard, open_media(path, headers_only=True) as container:
        video = video_stream(container)
        scan = _scan(container, video)
        times, end_s = _times(scan, video)
        lost = len(scan.shown) - len(times) + scan.left_out + scan.strange
        # A broken timestamp, or a second film, makes the declared length meaningless: then frames are counted.
        share = len(times) / len(scan.shown) * scan.share_of_file()
        if not lost:
            share = _share(container, video, end_s, scan.reach_s, float(times[0]))
        return Timeline(
            origin_s=float(times[0]),
            frame_times_s=times - times[0],
            keyframe_times_s=np.sort(np.array(scan.entrances(), dtype=np.float64)) - times[0],
            duration_s=float(end_s - times[0]),
            decoded_share=share,
            lost_frames=lost,
            complaints=len(heard),
            container=container.format.name,
            codec=video.codec_context.name,
            width=video.codec_context.width,
            height=video.codec_context.height,
            rotation_deg=scan.rotation_deg or 0,
            has_audio=any(stream.codec_context is not None for stream in container.streams.audio[:1]),
        )


def _scan(container: InputContainer, video: VideoStream) -> PacketScan:
    """Read the packets that tell how long a video is.

    Raises:
        MediaError: When there is none of the video.
    """
    scan = PacketScan(video)
    # Where the video's length is not declared, it is the container's, which sound may make longer.
    others = [] if _declared_s(video) is not None else container.streams.audio[:1]
    is_joined = container.format.name in JOINED
    read = list(container.streams) if is_joined else [video, *others]
    for packet in packets(container, read, scan.add_strange):
        scan.add(packet, is_joined)
    if not scan.shown:
        raise MediaError("probe", "Empty", "the file has a video stream without a frame")
    return scan


def _times(scan: PacketScan, video: VideoStream) -> tuple[npt.NDArray[np.float64], float]:
    """When the frames are shown, float64 (N,), ascending, and when the last one ends: container times, seconds."""
    times = _longest_run(np.sort(np.array([start_s for start_s, _ in scan.shown])))
    # Only the last frame's own length counts: with reordered frames the others' are those of their neighbours.
    last_s, end_s = max(span for span in scan.shown if span[0] <= times[-1])
    return times, end_s if last_s < end_s <= last_s + _MAX_GAP_S else last_s + _frame_length(video, times)


@contextlib.contextmanager
def _listening() -> Iterator[list[tuple[int, str, str]]]:
    """What ffmpeg reports as errors in this thread: a demuxer passes over broken bytes and says so only there."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture(True) as heard:
            yield heard
    finally:
        av.logging.set_level(level)


def demux(
    container: InputContainer, streams: Sequence[StreamT], on_strange: Callable[[], None] = lambda: None
) -> Iterator[av.Packet[StreamT]]:
    """Packets of some streams, and the empty one at the end of each that makes a decoder give its last frames.

    Args:
        container: What to read.
        streams: Of which streams.
        on_strange: Called for a packet of a stream that began in mid-file.
    """
    while True:
        try:
            yield from cast("Iterator[av.Packet[StreamT]]", container.demux(streams))
        except IndexError:
            on_strange()  # PyAV does not know such streams; reading goes on behind the packet
            continue
        return


def packets(
    container: InputContainer, streams: Sequence[StreamT], on_strange: Callable[[], None] = lambda: None
) -> Iterator[av.Packet[StreamT]]:
    """The packets of some streams as far as the file can be read: a truncated file ends instead of failing."""
    try:
        for packet in demux(container, streams, on_strange):
            if packet.size:
                yield packet
    except av.FFmpegError:
        return


def is_cover(stream: Stream) -> bool:
    """Whether a stream is a cover picture, not the film."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _longest_run(times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The largest group of ascending times without a gap that no video has."""
    groups = np.split(times, np.flatnonzero(np.diff(times) > _MAX_GAP_S) + 1)
    return max(groups, key=len)


def _frame_length(video: VideoStream, times: npt.NDArray[np.float64]) -> float:
    """Length of a last frame whose packet does not tell."""
    if len(times) > 1:
        return float(np.median(np.diff(times)))
    length = float(1 / video.average_rate) if video.average_rate else 0.0
    return length if 0 < length <= _MAX_GAP_S else _UNKNOWN_FRAME_S


def _share(container: InputContainer, video: VideoStream, end_s: float, reach_s: float, origin_s: float) -> float:
    """What is there of what is declared, 0..1."""
    # Matroska and AVI count lengths from time 0, the others from the first frame.
    from_zero = bool({"matroska", "avi"} & set(container.format.name.split(",")))
    declared, start_s = _declared_s(video), origin_s
    if declared is None:
        # The container's length is that of its longest stream.
        declared = (container.duration or 0) / av.time_base
        end_s, start_s = reach_s, (container.start_time or 0) / av.time_base
    if declared <= 0:
        return 1.0
    return float(min(1.0, max(0.0, (end_s - (0.0 if from_zero else start_s)) / declared)))


def _declared_s(video: VideoStream) -> float | None:
    if video.duration and video.time_base:
        return float(video.duration * video.time_base)
    # Matroska declares the length of a stream in a tag.
    match = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", video.metadata.get("DURATION", ""))
    if match is None:
        return None
    hours, minutes, seconds = match.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
