"""How a source is cut into segments, and their ids."""

from __future__ import annotations

import hashlib
import json
import math

from v2a_core.media.config import SegmentSettings
from v2a_core.media.types import Segment

_EPSILON_S = 1e-6
# Made once: millions of ids are made.
_as_json = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode


def digest(*parts: object) -> str:
    """A 32-character hash of plain values, the same on every run and machine."""
    return digest_of_json(_as_json(parts)).hex()


def digest_of_json(text: str) -> bytes:
    """The 16 bytes of the hash of values that are JSON already, as `digest` would write them."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def cut(
    source_id: str,
    duration_s: float,
    settings: SegmentSettings,
    *,
    whole: bool = False,
    start_s: float | None = None,
    span_s: float | None = None,
) -> list[Segment]:
    """Cut a source, or a span of it, into windows.

    The last window ends where the source ends; it is dropped when it would add less than `settings.min_length_s`,
    unless it is the only one.

    Args:
        source_id: Identifies the source, its content and its sampling; segment ids derive from it.
        duration_s: Length of the source.
        settings: Length of the windows, and how far apart they start.
        whole: One segment, however long: a still image.
        start_s: Start of the span, when only a part of the source is asked for.
        span_s: Length of the span.

    Returns:
        The segments in order; empty when the span lies outside the source or the source has no length.
    """
    first = start_s or 0.0
    length = span_length(duration_s, start_s, span_s)
    if length <= _EPSILON_S:
        return []
    windows = [(first, length)] if whole or settings.whole else _windows(first, length, settings)
    return [
        Segment(_segment_id(source_id, start, duration), index, len(windows), start, duration)
        for index, (start, duration) in enumerate(windows)
    ]


def count(duration_s: float, settings: SegmentSettings, start_s: float | None, span_s: float | None) -> int:
    """About how many windows `cut` makes of a video, give or take one, without making them."""
    if settings.whole:
        return 1
    return math.ceil(span_length(duration_s, start_s, span_s) / (settings.hop_s or settings.length_s))


def span_length(duration_s: float, start_s: float | None, span_s: float | None) -> float:
    """Length of the part of a source that is asked for: what is there of the span, at least 0."""
    rest = max(0.0, duration_s - (start_s or 0.0))
    return rest if span_s is None else min(rest, span_s)


def _windows(first: float, length: float, settings: SegmentSettings) -> list[tuple[float, float]]:
    # An encoder's last frame makes "10 s" into 10.01 s: rounding noise is no segment of its own.
    hop_s = settings.hop_s or settings.length_s
    full = max(0, math.floor((length + _EPSILON_S - settings.length_s) / hop_s) + 1)
    windows = [(first + index * hop_s, settings.length_s) for index in range(full)]
    rest = length - full * hop_s
    # Where windows overlap, most of the rest is covered already: what counts is what a last window would add.
    new = min(rest, length - (full - 1) * hop_s - settings.length_s) if full else rest
    if new > _EPSILON_S and (new >= settings.min_length_s or not windows):
        windows.append((first + full * hop_s, rest))
    return windows


def _segment_id(source_id: str, start_s: float, duration_s: float) -> str:
    # Rounded to microseconds: two machines may differ in the last bit of a float, never in the id.
    return digest(source_id, round(start_s * 1e6), round(duration_s * 1e6))
