"""From a list of videos to what a network finds out about them: frames in the guarded process, then seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from v2a_core.media import worker
from v2a_core.media.config import GuardSettings
from v2a_core.media.guard import shared_decoder
from v2a_core.media.sampled_frames import STAGE, Film, SampleRequest
from v2a_core.media.types import MediaError
from v2a_core.metrics.extractors.folder import WatchingExtractor
from v2a_core.metrics.hearing_protocols import Protocol
from v2a_core.stages.motion import row_of_video, span_s
from v2a_core.stages.sounds import fill
from v2a_core.tables import rows
from v2a_core.tables.features import pack_film, unpack_films
from v2a_core.tables.schema import OK


def read_film(
    item: Mapping[str, Any], guard: GuardSettings, protocol: Protocol, extractor: type[WatchingExtractor]
) -> dict[str, Any]:
    """A row of `features.with_film` without what the network finds; a rejected one when the video cannot be read.

    Args:
        item: Of `features.SOUNDS`, of a video.
        guard: Limits of the process.
        protocol: How much of it is looked at: as much as is heard.
        extractor: Which frames it wants.
    """
    return row_of_video(item, lambda: _read(item, guard, protocol, extractor))


def watch_films(batch: pa.Table, extractor: WatchingExtractor) -> pa.Table:
    """Fill what an extractor finds out; drop the frames. Rejected rows pass, and what is not finite is rejected."""
    return fill(batch, unpack_films(batch["film"]), extractor.extract, "film")


def _read(
    item: Mapping[str, Any], guard: GuardSettings, protocol: Protocol, extractor: type[WatchingExtractor]
) -> dict[str, Any]:
    every_s = 1 / extractor.frames_per_second
    with rows.unpack_source(item["source"]).fetch() as path:
        length_s = span_s(item, protocol)
        request = SampleRequest(
            path.absolute(), item["start_s"], length_s, every_s, extractor.side, square=extractor.square
        )
        call = worker.Call("v2a_core.media.sampled_frames:sample", request, reads=(request.path,), stage=STAGE)
        film = shared_decoder(guard).run(call)
    if not isinstance(film, Film):
        raise MediaError(STAGE, "NoFrames", "the video has no frame in its span")
    about = {"duration_s": film.length_s, "silent": False, "status": OK}
    return about | {"film": pack_film(film.frames_FHWC)}
