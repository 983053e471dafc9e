"""Decoding a file in this process, with small segments."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from helpers_media import index_of

from v2a_core.media.config import FrameSettings, SegmentSettings
from v2a_core.media.decode import DecodeRequest, SegmentReject, decode_source
from v2a_core.media.resample import encoder_waveform
from v2a_core.media.types import DecodedSegment, MediaSpec

SPEC = MediaSpec(image_size=32, audio_sample_rate=48_000, audio_samples=96_000)


def request(path: Path, **changes: object) -> DecodeRequest:
    """Segments of a second, four frames each."""
    base = DecodeRequest(
        path,
        "video",
        "source",
        SPEC,
        SegmentSettings(length_s=1.0, min_length_s=0.3),
        FrameSettings(frames_per_second=4.0),
    )
    return dataclasses.replace(base, **changes)


def decode(path: Path, **changes: object) -> list[DecodedSegment | SegmentReject]:
    """What becomes of each segment of a file."""
    planned, *decoded = decode_source(request(path, **changes))
    assert isinstance(planned, list)
    return decoded


def heard(item: DecodedSegment) -> np.ndarray:
    """What CLAP hears of a segment with sound, at 48 kHz."""
    assert item.waveform is not None
    return encoder_waveform(item.waveform, SPEC)


def indices(item: DecodedSegment) -> list[int]:
    """Which pictures of `moving` are seen."""
    return [index_of(frame) for frame in item.frames_NHWC]


def timed_frames(item: DecodedSegment | SegmentReject) -> list[tuple[float, np.ndarray]]:
    """Frames with their times."""
    assert isinstance(item, DecodedSegment)
    return list(zip(item.frame_times_s.tolist(), item.frames_NHWC, strict=True))
