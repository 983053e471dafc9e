"""From a source to its rows: fetch, decode in the guarded process, a row for every segment, good or rejected."""

from __future__ import annotations

from dataclasses import dataclass

from v2a_core.media.config import FrameSettings, GuardSettings, SegmentSettings
from v2a_core.media.guard import GuardedDecoder
from v2a_core.media.types import MediaSpec

_decoders: dict[GuardSettings, GuardedDecoder] = {}


@dataclass(frozen=True)
class DecodeSettings:
    """Everything that decoding depends on."""

    segments: SegmentSettings
    frames: FrameSettings
    guard: GuardSettings
    spec: MediaSpec
    want_audio: bool
