"""From a local file to decoded segments, one at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from v2a_core.media import magic
from v2a_core.media import segments as plan
from v2a_core.media.audio import AudioReader
from v2a_core.media.config import FrameSettings, GuardSettings, SegmentSettings
from v2a_core.media.frames import FallbackReader, stack, wanted
from v2a_core.media.image import load_image
from v2a_core.media.probe import Timeline, read_timeline
from v2a_core.media.resample import is_silent, level_waveform, rms_dbfs
from v2a_core.media.sound_file import SoundFileReader
from v2a_core.media.timed import TimedReader
from v2a_core.media.types import DecodedSegment, MediaError, MediaSpec, Pcm, Segment, TimedFrames

# A stream that ends before this share of its declared length is damaged; encoders round by less.
_WHOLE_SHARE = 0.9


@dataclass(frozen=True)
class DecodeRequest:
    """What to decode, and how.

    Attributes:
        path: A local file.
        kind: `video`, `image` or `audio`.
        source_id: Segment ids derive from it.
        spec: What the models want.
        segments: How the source is cut.
        frames: Which frames are taken.
        start_s: Start of the wanted span; None for the start of the source.
        span_s: Length of the wanted span; None for all of it.
        want_audio: Whether the sound is decoded too.
        native: The sound as it is in the file, every channel at its own rate, not as the audio encoder takes it.
        skip: Ids of segments that are done already.
        max_duration_s: A longer source is refused.
        max_segments: A source of more segments is refused.
        timed_pixels: Whether denser frames are given on; else only how much moves in them.
    """

    path: Path
    kind: str
    source_id: str
    spec: MediaSpec
    segments: SegmentSettings
    frames: FrameSettings
    start_s: float | None = None
    span_s: float | None = None
    want_audio: bool = True
    skip: frozenset[str] = field(default_factory=frozenset)
    max_duration_s: float = GuardSettings().max_duration_s
    max_segments: int = GuardSettings().max_segments
    native: bool = False
    timed_pixels: bool = True


@dataclass(frozen=True)
class SegmentReject:
    """A segment that could not be decoded, and why; its neighbours may be well."""

    segment: Segment
    error: MediaError


Decoded = DecodedSegment | SegmentReject


def decode_source(request: DecodeRequest) -> Iterator[list[Segment] | Decoded]:
    """Decode a source segment by segment; memory does not grow with its length.

    Yields:
        First the list of all its segments, also those to be skipped; then each segment that is not skipped, in
        order, decoded or rejected.

    Raises:
        MediaError: When the source as a whole cannot be read.
    """
    if request.kind == "image":
        yield from _decode_image(request)
    elif request.kind == "audio":
        yield from _decode_sound_file(request)
    else:
        yield from _decode_video(request)


def _decode_image(request: DecodeRequest) -> Iterator[list[Segment] | Decoded]:
    pixels = load_image(request.path, request.spec.image_size)
    planned = _plan(request, request.frames.image_segment_s)
    yield planned
    for segment in planned:
        if segment.segment_id not in request.skip:
            yield DecodedSegment(
                segment=segment,
                frames_NHWC=pixels[np.newaxis],
                frame_times_s=np.zeros(1, dtype=np.float32),
                waveform=None,
                audio_rms_dbfs=None,
                silent=False,
                decoder="pillow",
                damaged=False,
                decoded_share=1.0,
                source_duration_s=request.frames.image_segment_s,
                timed=_still(pixels, request) if request.frames.timing_fps else None,
            )


def _decode_sound_file(request: DecodeRequest) -> Iterator[list[Segment] | Decoded]:
    size = request.spec.image_size
    unseen, nothing = np.zeros((0, size, size, 3), np.uint8), np.zeros(0, np.float32)
    with SoundFileReader(request.path, every_channel=request.native) as audio:
        refuse_longer(audio.length_s, request.max_duration_s, "decode")
        planned = _plan(request, audio.length_s)
        yield planned
        for segment in planned:
            if segment.segment_id in request.skip:
                continue
            try:
                sound = _decode_sound(segment, request, audio)
            except MediaError as error:
                yield SegmentReject(segment, error)
                continue
            yield DecodedSegment(
                segment=segment,
                frames_NHWC=unseen,
                frame_times_s=nothing,
                waveform=sound.waveform,
                audio_rms_dbfs=sound.rms_dbfs,
                silent=sound.silent,
                decoder=audio.name,
                damaged=sound.damaged,
                decoded_share=1.0,
                source_duration_s=plan.span_length(audio.length_s, request.start_s, request.span_s),
                native=sound.native,
            )


def _decode_video(request: DecodeRequest) -> Iterator[list[Segment] | Decoded]:
    timeline = _read_timeline(request.path)
    refuse_longer(timeline.duration_s, request.max_duration_s, "decode")
    _refuse_below(timeline.decoded_share, request, "the source ends early")
    planned = _plan(request, timeline.duration_s)
    yield planned
    wanted = [segment for segment in planned if segment.segment_id not in request.skip]
    if not wanted:
        return
    with contextlib.ExitStack() as scope:
        video = scope.enter_context(FallbackReader(request.path, timeline, request.spec.image_size, request.frames))
        audio = None
        if request.want_audio and timeline.has_audio:
            audio = scope.enter_context(AudioReader(request.path, timeline.origin_s, every_channel=request.native))
        timed = None
        if request.frames.timing_fps:
            begin_s = request.start_s or 0.0
            timed = TimedReader(video, timeline, request.frames.timing_fps, begin_s, request.timed_pixels)
        for segment in wanted:
            try:
                yield _decode_segment(segment, request, timeline, video, audio, timed)
            except MediaError as error:
                yield SegmentReject(segment, error)


def _read_timeline(path: Path) -> Timeline:
    try:
        timeline = read_timeline(path)
    except MediaError as error:
        if not error.transient:
            magic.read_through(path)
        raise
    if _is_damaged(timeline):
        magic.read_through(path)
    return timeline


def refuse_longer(duration_s: float, max_duration_s: float, stage: str) -> None:
    """Refuse a video that would stand for more work than anybody means.

    Raises:
        MediaError: When it is longer than the limit.
    """
    if duration_s > max_duration_s:
        message = f"{duration_s:,.0f} s long, and decoder.max_duration_s is {max_duration_s:,.0f} s"
        raise MediaError(stage, "TooLong", message)


def _plan(request: DecodeRequest, duration_s: float) -> list[Segment]:
    count = plan.count(duration_s, request.segments, request.start_s, request.span_s)
    if count > request.max_segments:
        raise MediaError(
            "decode", "TooLong", f"{count:,} segments, and decoder.max_segments is {request.max_segments:,}"
        )
    planned = plan.cut(
        request.source_id,
        duration_s,
        request.segments,
        whole=request.kind == "image",
        start_s=request.start_s,
        span_s=request.span_s,
    )
    if not planned:
        raise MediaError(
            "decode",
            "EmptySpan",
            f"start {request.start_s or 0.0:g} s lies outside the source, which is {duration_s:.3f} s long",
        )
    return planned


def _decode_segment(
    segment: Segment,
    request: DecodeRequest,
    timeline: Timeline,
    video: FallbackReader,
    audio: AudioReader | None,
    timed: TimedReader | None,
) -> DecodedSegment:
    indices = wanted(segment.start_s, segment.duration_s, timeline, request.frames)
    errors, lost = video.errors, video.lost
    frames, denser = (video.read(indices), None) if timed is None else timed.read(segment, indices)
    if not frames:
        raise MediaError(
            "decode",
            "NoFrames",
            f"no frame between {segment.start_s:g} and {segment.start_s + segment.duration_s:g} s can be decoded",
        )
    lost = video.lost - lost if timed is None else len(indices) - len(frames)
    share = timeline.decoded_share * (1 - lost / len(indices))
    _refuse_below(share, request, f"{lost} of {len(indices)} frames cannot be decoded")
    frames_NHWC, frame_times_s = stack(frames)
    sound = _decode_sound(segment, request, audio)
    return DecodedSegment(
        segment=segment,
        frames_NHWC=frames_NHWC,
        frame_times_s=frame_times_s,
        waveform=sound.waveform,
        audio_rms_dbfs=sound.rms_dbfs,
        silent=sound.silent,
        decoder=video.name,
        damaged=video.errors > errors or lost > 0 or sound.damaged or _is_damaged(timeline),
        decoded_share=share,
        source_duration_s=plan.span_length(timeline.duration_s, request.start_s, request.span_s),
        native=sound.native,
        timed=denser,
    )


def _still(pixels: npt.NDArray[np.uint8], request: DecodeRequest) -> TimedFrames:
    """A picture that is shown once, and does not move."""
    nothing = np.zeros(1, np.float32)
    return TimedFrames(nothing, nothing, pixels[np.newaxis] if request.timed_pixels else None)


def _refuse_below(share: float, request: DecodeRequest, reason: str) -> None:
    """Refuse what is too damaged to stand for a source or segment.

    Raises:
        MediaError: When less than `frames.min_decoded_share` is there.
    """
    if share < request.frames.min_decoded_share:
        message = f"{share:.0%} can be decoded ({reason}); min_decoded_share is {request.frames.min_decoded_share:.0%}"
        raise MediaError("decode", "Damaged", message)


def _is_damaged(timeline: Timeline) -> bool:
    return timeline.decoded_share < _WHOLE_SHARE or timeline.lost_frames > 0 or timeline.complaints > 0


@dataclass(frozen=True)
class _SegmentSound:
    waveform: npt.NDArray[np.float32] | None = None
    rms_dbfs: float | None = None
    silent: bool = False
    damaged: bool = False
    native: Pcm | None = None


def _decode_sound(
    segment: Segment, request: DecodeRequest, audio: AudioReader | SoundFileReader | None
) -> _SegmentSound:
    spec = request.spec
    # The audio encoder hears no more than this of a longer segment.
    length_s = min(segment.duration_s, spec.audio_samples / spec.audio_sample_rate)
    sound = audio.read(segment.start_s, length_s) if audio else None
    if sound is None:
        return _SegmentSound()
    if sound.errors and not sound.present:
        return _SegmentSound(damaged=True)
    if request.native:
        native = Pcm(sound.waveform, sound.sample_rate)
        level, silent = rms_dbfs(native.first_channel), is_silent(native.first_channel)
        return _SegmentSound(None, level, silent, sound.errors > 0, native)
    return _SegmentSound(
        waveform=level_waveform(sound.waveform, sound.sample_rate, spec),
        rms_dbfs=rms_dbfs(sound.waveform),
        silent=is_silent(sound.waveform),
        damaged=sound.errors > 0,
    )
