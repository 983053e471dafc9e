"""From a source to its rows: fetch, decode in the guarded process, a row for every segment, good or rejected."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from v2a_core.catalog import ShardReader, Source
from v2a_core.media import worker
from v2a_core.media.config import FrameSettings, GuardSettings, SegmentSettings
from v2a_core.media.decode import DecodeRequest, SegmentReject
from v2a_core.media.guard import shared_decoder
from v2a_core.media.types import DecodedSegment, MediaError, MediaSpec, Segment
from v2a_core.stages.envelope import heard_over_time
from v2a_core.storage import trouble
from v2a_core.tables import rows
from v2a_core.tables.rows import DecodedRow


@dataclass(frozen=True)
class DecodeSettings:
    """How every source is decoded."""

    segments: SegmentSettings
    frames: FrameSettings
    guard: GuardSettings
    spec: MediaSpec
    want_audio: bool
    native: bool = False  # the sound as it is in the file, not as the audio encoder takes it
    timed_pixels: bool = True  # the denser frames, where there are some, not only how much moves in them
    decoder: str = worker.DECODER  # `module:function`; another one is for tests of what a decoder can do wrong

    @property
    def embeds_timed(self) -> bool:
        """Whether denser frames are given on, to be embedded."""
        return self.timed_pixels and self.frames.timing_fps > 0

    def heard_over_time(self, decoded: DecodedSegment) -> DecodedRow:
        """What is told of the sound beside denser frames."""
        return heard_over_time(decoded, self.spec) if self.frames.timing_fps else {}

    def request(self, path: Path, source: Source, source_id: str, done_segments: Collection[str]) -> DecodeRequest:
        """What is to be decoded of a source whose file lies at `path`."""
        return DecodeRequest(
            path,
            source.kind,
            source_id,
            self.spec,
            self.segments,
            self.frames,
            source.start_s,
            source.duration_s,
            self.want_audio,
            frozenset(done_segments),
            native=self.native,
            timed_pixels=self.timed_pixels,
        )


def decode_rows(
    source: Source,
    source_id: str,
    done_segments: Sequence[str],
    settings: DecodeSettings,
    shards: ShardReader | None = None,
) -> Iterator[DecodedRow]:
    """Rows of `rows.TRANSIT` for the segments of a source that have none yet.

    Args:
        source: What to decode.
        source_id: Its id.
        done_segments: Ids of its segments that have a row already.
        settings: How.
        shards: Shared by the members of a shard, so that it is read once.

    Raises:
        StorageStopError: When this machine, not the source, is at fault: nothing else could be decoded either.
    """
    started = time.monotonic()
    done = set(done_segments)
    decoder = shared_decoder(settings.guard, settings.decoder)
    decoder.forget()
    try:
        with source.fetch(shards) as path:
            for item in decoder.decode(settings.request(path, source, source_id, done)):
                seconds, started = time.monotonic() - started, time.monotonic()
                done.add(item.segment.segment_id)
                if isinstance(item, SegmentReject):
                    yield rows.rejected_row(source, source_id, item.error, item.segment, seconds)
                else:
                    yield {**rows.decoded_row(source, source_id, item, seconds), **settings.heard_over_time(item)}
        return
    except (MediaError, OSError) as caught:
        error = _fault_of(source, caught)
    left = _without_row(decoder.planned, done)
    seconds = (time.monotonic() - started) / len(left) if left else 0.0
    for segment in left:
        yield rows.rejected_row(source, source_id, error, segment, seconds)


def _fault_of(source: Source, error: MediaError | OSError) -> MediaError:
    """What an error says of a source.

    Raises:
        StorageStopError: When it is this machine's fault.
    """
    if isinstance(error, MediaError):
        return error
    if trouble.stops_run(error, writing=False):
        raise trouble.stop(error, source.uri) from None
    return MediaError("fetch", type(error).__name__, str(error))


def _without_row(planned: Sequence[Segment] | None, done: Collection[str]) -> Sequence[Segment | None]:
    """What an error of a source rejects: its segments without a row, or the source, when they are not known."""
    # A reject of the whole source beside good segments of it would contradict them.
    return [None] if planned is None else [segment for segment in planned if segment.segment_id not in done]
