"""From a source to its rows: fetch, decode in the guarded process, a row for every segment, good or rejected."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from v2a_core.catalog import ShardReader, Source
from v2a_core.media import worker
from v2a_core.media.config import FrameSettings, GuardSettings, SegmentSettings
from v2a_core.media.decode import SegmentReject
from v2a_core.media.guard import shared_decoder
from v2a_core.media.types import MediaError, MediaSpec, Segment
from v2a_core.storage import trouble
from v2a_core.tables import rows


@dataclass(frozen=True)
class DecodeSettings:
    """Everything that decoding depends on."""

    segments: SegmentSettings
    frames: FrameSettings
    guard: GuardSettings
    spec: MediaSpec
    want_audio: bool
    decoder: str = worker.DECODER  # `module:function`; another one is for tests of what a decoder can do wrong


def decode_rows(
    source: Source,
    source_id: str,
    done_segments: Sequence[str],
    settings: DecodeSettings,
    shards: ShardReader | None = None,
) -> Iterator[dict[str, Any]]:
    """Rows of `rows.TRANSIT` for the segments of a source that have none yet.

    Args:
        source: What to decode.
        source_id: Its id.
        done_segments: Ids of its segments that have a row already.
        settings: How.
        shards: Shared by the members of a shard, so that it is read once.
    """
    started = time.monotonic()
    done = set(done_segments)
    decoder = shared_decoder(settings.guard, settings.decoder)
    decoder.forget()
    try:
        with source.fetch(shards) as path:
            decoded = decoder.decode(
                path,
                kind=source.kind,
                source_id=source_id,
                spec=settings.spec,
                segments=settings.segments,
                frames=settings.frames,
                start_s=source.start_s,
                span_s=source.duration_s,
                want_audio=settings.want_audio,
                skip=done_segments,
            )
            for item in decoded:
                seconds, started = time.monotonic() - started, time.monotonic()
                done.add(item.segment.segment_id)
                if isinstance(item, SegmentReject):
                    yield rows.rejected_row(source, source_id, item.error, item.segment, seconds)
                else:
                    yield rows.decoded_row(source, source_id, item, seconds)
        return
    except MediaError as caught:
        error = caught
    except OSError as caught:
        if trouble.stops_run(caught, writing=False):
            raise trouble.stop(caught, source.uri) from None
        error = MediaError("fetch", type(caught).__name__, str(caught))
    # A reject of the whole source beside good segments of it would contradict them.
    left: list[Segment | None] = [None]
    if decoder.planned is not None:
        left = [segment for segment in decoder.planned if segment.segment_id not in done]
    seconds = (time.monotonic() - started) / max(1, len(left))
    for segment in left:
        yield rows.rejected_row(source, source_id, error, segment, seconds)
