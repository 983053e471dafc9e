"""A copy of a video with a soundtrack: the picture copied packet by packet, the sound replaced or mixed under."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer, OutputContainer
from av.stream import AttachmentStream, Stream

from v2a_core.media.config import GuardSettings
from v2a_core.media.decode import refuse_longer
from v2a_core.media.encode import AAC_RATE, RGB, Packet, aac_blocks, aac_mono, interleave, timed_packets
from v2a_core.media.mix import Mix, plan_mix
from v2a_core.media.probe import Timeline, is_cover, open_media, packets, read_timeline, reason, tick_s, video_stream
from v2a_core.media.resample import PlacedSound
from v2a_core.media.types import MediaError
from v2a_core.media.worker import FULL

if TYPE_CHECKING:
    from av.container.core import Chapter

# Picture and sound of the copy may differ by this much: one or two frames, below what is noticed.
MAX_DIFFERENCE_S = 0.05

# More than the frames that any codec reorders.
_MAX_WAITING = 64

_MP4_CODECS = frozenset({"h264", "hevc", "av1", "vp9", "mpeg4"})
# No container that plays everywhere takes these beside sound.
_ENCODED_ANEW = frozenset({"gif"})
# What a container's own writer sets anew.
_OWN_TAGS = frozenset({"encoder", "major_brand", "minor_version", "compatible_brands", "duration"})


def muxed_suffix(path: Path) -> str:
    """The suffix of a copy with AAC sound: the original's where that container takes it, else `.mp4` or `.mkv`.

    Raises:
        MediaError: When the file cannot be read.
    """
    suffix = path.suffix.lower()
    with open_media(path, "mux") as container:
        codec = video_stream(container, "mux").codec_context.name
        formats = set(container.format.name.split(","))
    if suffix in (".mp4", ".m4v", ".mov") and "mov" in formats:
        return suffix
    if suffix == ".mkv" and "matroska" in formats:
        return suffix
    return ".mp4" if codec in _MP4_CODECS | _ENCODED_ANEW else ".mkv"


@dataclass(frozen=True)
class MixUnder:
    """The soundtrack is mixed under the sound that the video has.

    Attributes:
        under_db: How much quieter it is, dB.
        true_peak_dbtp: The mix is lowered where it would be above this.
    """

    under_db: float
    true_peak_dbtp: float


@dataclass(frozen=True)
class MuxRequest:
    """A copy of a video whose first audio track is a waveform, or its old one with the waveform under it.

    Attributes:
        video_path: The video.
        waveform: Float32 (T,), -1..1.
        sample_rate: Its rate, Hz.
        out_path: The copy; its suffix, from `muxed_suffix`, chooses the container.
        tags: Metadata to write beside the original's.
        mix: Mix instead of replacing; a video that is silent gets the soundtrack as it is.
        start_s: Where the waveform begins in the video.
    """

    video_path: Path
    waveform: npt.NDArray[np.float32]
    sample_rate: int
    out_path: Path
    tags: Mapping[str, str] = field(default_factory=dict)
    mix: MixUnder | None = None
    start_s: float = 0.0


def mux_soundtrack(request: MuxRequest, max_duration_s: float = GuardSettings().max_duration_s) -> None:
    """Write the copy.

    The packets of the picture, and of everything else that the container takes (subtitles, further audio tracks,
    attachments), are copied as they are; times are shifted so that the first frame is at 0. Chapters stay. The
    waveform is cut, or padded with silence, to the length of the picture. An animated GIF is encoded anew.

    Args:
        request: What to copy, and its soundtrack.
        max_duration_s: A longer video is refused.

    Raises:
        MediaError: When the copy cannot be made, or its picture and sound would differ in length.
        OSError: When there is no room for it.
    """
    timeline = read_timeline(request.video_path)
    refuse_longer(timeline.duration_s, max_duration_s, "mux")
    start, samples = (round(time_s * request.sample_rate) for time_s in (request.start_s, timeline.duration_s))
    sound = PlacedSound(request.waveform, request.sample_rate, start, samples)
    try:
        planned = _plan_mix(request.video_path, sound, timeline.origin_s, request.mix) if request.mix else None
        with open_media(request.video_path, "mux") as source:
            _copy(source, planned or sound, request.out_path, timeline, request.tags)
    except (av.FFmpegError, ValueError) as error:
        if isinstance(error, MediaError):
            raise
        if getattr(error, "errno", None) in FULL:
            raise
        raise MediaError("mux", type(error).__name__, f"the copy cannot be written: {reason(error)}") from None
    _check_lengths(request.out_path)


def _plan_mix(path: Path, sound: PlacedSound, origin_s: float, mix: MixUnder) -> Mix | None:
    return plan_mix(path, sound, origin_s, under_db=mix.under_db, true_peak_dbtp=mix.true_peak_dbtp)


def stream_lengths(path: Path) -> tuple[float, float]:
    """Lengths of the picture and of the sound of a file, seconds, from its packets; 0 where there is none."""
    with open_media(path, "mux") as container:
        spans = [
            (float(packet.pts * packet.time_base), float((packet.pts + (packet.duration or 0)) * packet.time_base))
            for packet in packets(container, [*container.streams.audio[:1]])
            if packet.pts is not None and not packet.is_discard
        ]
    sound = max(end for _, end in spans) - min(start for start, _ in spans) if spans else 0.0
    return read_timeline(path).duration_s, sound


def _copy(
    source: InputContainer, sound: Mix | PlacedSound, out_path: Path, timeline: Timeline, tags: Mapping[str, str]
) -> None:
    origin_s = timeline.origin_s
    with av.open(str(out_path), "w", container_options=_container_options(source, out_path)) as target:
        picture = video_stream(source, "mux")
        is_anew = picture.codec_context.name in _ENCODED_ANEW
        film = _encoded(source, target, picture, timeline) if is_anew else None
        copies: dict[int, Stream] = {}
        if not is_anew:
            copies[picture.index] = target.add_stream_from_template(picture, opaque=True)
        if isinstance(sound, Mix):
            heard = aac_blocks(target, sound.blocks(), sound.layout)
        else:
            heard = aac_mono(target, sound.resampled(AAC_RATE))
        copies |= _add_others(source, target, picture)
        kept = {key: value for key, value in source.metadata.items() if key.lower() not in _OWN_TAGS}
        target.metadata.update({**kept, **tags})
        chapters = _shifted_chapters(source, origin_s)
        if chapters:
            target.set_chapters(chapters)
        for packet in interleave(film or _copied(source, copies, timeline), heard):
            target.mux(packet)


def _encoded(
    source: InputContainer, target: OutputContainer, picture: av.VideoStream, timeline: Timeline
) -> Iterator[Packet]:
    """The frames of the picture as packets that play everywhere, each shown as long as before."""
    tick = tick_s(picture)
    times = [round(float(time) / tick) for time in (*timeline.frame_times_s, timeline.duration_s)]
    lengths = {time: max(1, after - time) for time, after in pairwise(times)}

    def frames() -> Iterator[tuple[int, int, RGB]]:
        for packet in packets(source, [picture]):
            for frame in picture.decode(packet):
                time = None if frame.pts is None else frame.pts - round(Fraction(timeline.origin_s) / tick)
                if time in lengths:
                    yield time, lengths[time], np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)

    return timed_packets(target, frames(), picture.codec_context.width, picture.codec_context.height, tick)


def _container_options(source: InputContainer, out_path: Path) -> dict[str, str]:
    if out_path.suffix.lower() not in (".mp4", ".m4v", ".mov"):
        return {}
    # Tags of any name, which exclude a cover picture; the index in front, so that a browser can start at once.
    covered = any(is_cover(stream) for stream in source.streams.video)
    return {"movflags": "+faststart" if covered else "+faststart+use_metadata_tags"}


def _add_others(source: InputContainer, target: OutputContainer, picture: av.VideoStream) -> dict[int, Stream]:
    """Streams beside the picture and the first sound, as far as the new container takes them."""
    copies: dict[int, Stream] = {}
    for stream in source.streams:
        if isinstance(stream, AttachmentStream):
            target.add_attachment(stream.name or "", stream.mimetype or "", stream.data)
            continue
        if stream.index == picture.index or stream in source.streams.audio[:1] or stream.codec_context is None:
            continue
        if stream.codec_context.name in target.supported_codecs:
            copy = target.add_stream_from_template(stream, opaque=True)
            copy.disposition = stream.disposition
            copy.metadata.update(stream.metadata)
            copies[stream.index] = copy
    return copies


def _shifted_chapters(source: InputContainer, origin_s: float) -> list[Chapter]:
    """The chapters on the clock of the copy; one that ends before the first frame is gone."""
    shifted: list[Chapter] = []
    for chapter in source.chapters():
        tick = chapter["time_base"]
        shift = 0 if tick is None else round(Fraction(origin_s) / tick)
        if chapter["end"] > shift:
            shifted.append({**chapter, "start": max(0, chapter["start"] - shift), "end": chapter["end"] - shift})
    return shifted


def _copied(source: InputContainer, copies: dict[int, Stream], timeline: Timeline) -> Iterator[Packet]:
    """Packets of the copied streams, on the clock of the copy, with decoding times that ascend."""
    origin_s = timeline.origin_s
    shown = _display_times(Path(source.name.removeprefix("file:"))) if timeline.container == "avi" else {}
    previous: dict[int, int] = {}
    # A frame is never shown before it is decoded.
    early = max((label - time for label, time in shown.items()), default=0)
    wanted = packets(source, [source.streams[index] for index in copies])
    for packet, pts, dts in _timed(_with_covers(wanted, origin_s)):
        index = packet.stream_index
        shift = round(Fraction(origin_s) / packet.time_base)
        if pts in shown:
            pts, dts = shown[pts], dts - early
        dts = max(dts - shift, previous.get(index, dts - shift - 1) + 1)
        packet.pts, packet.dts = max(pts - shift, dts), dts
        previous[index] = dts
        packet.stream = copies[index]
        yield packet


def _with_covers(source: Iterator[Packet], origin_s: float) -> Iterator[Packet]:
    """Packets, those of cover pictures, which have no time, at the first frame."""
    for packet in source:
        if packet.dts is None and is_cover(packet.stream):
            packet.pts = packet.dts = round(Fraction(origin_s) / packet.time_base)
        yield packet


def _display_times(path: Path) -> dict[int, int]:
    """When the frames of an AVI are shown, by the time its packets carry.

    AVI stores no presentation times: reordered frames come out of the decoder in the right order with the times of
    the wrong packets. Empty where nothing is reordered.
    """
    with open_media(path, "mux") as container:
        stream = video_stream(container, "mux")
        labels = [frame.pts for packet in packets(container, [stream]) for frame in stream.decode(packet)]
        labels += [frame.pts for frame in stream.decode(None)]
    known = [label for label in labels if label is not None]
    if known == sorted(known) or len(set(known)) < len(labels):
        return {}
    return dict(zip(known, sorted(known), strict=True))


def _timed(source: Iterator[Packet]) -> Iterator[tuple[Packet, int, int]]:
    """Packets with the time at which they are shown, and that at which they are decoded; both in their ticks.

    Matroska stores no decoding times, and the first few cannot be computed: they are counted back, a tick each, from
    the first that is known.
    """
    waiting: list[tuple[Packet, int]] = []
    for packet in source:
        pts = packet.pts if packet.pts is not None else packet.dts
        if pts is None:
            continue
        if packet.dts is None and len(waiting) < _MAX_WAITING:
            waiting.append((packet, pts))
            continue
        dts = pts if packet.dts is None else packet.dts
        yield from _count_back(waiting, dts)
        waiting = []
        yield packet, pts, dts
    yield from _count_back(waiting, min((pts for _, pts in waiting), default=0))


def _count_back(waiting: list[tuple[Packet, int]], dts: int) -> Iterator[tuple[Packet, int, int]]:
    for place, (packet, pts) in enumerate(waiting):
        yield packet, pts, min(pts, dts - len(waiting) + place)


def _check_lengths(path: Path) -> None:
    picture, sound = stream_lengths(path)
    if abs(picture - sound) > MAX_DIFFERENCE_S:
        raise MediaError(
            "mux", "Lengths", f"the copy's picture is {picture:.3f} s long and its sound {sound:.3f} s; they must agree"
        )
