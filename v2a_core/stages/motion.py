"""From a list of videos to how they move: fetched, looked at in the guarded process, a row for each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from v2a_core.media import worker
from v2a_core.media.config import GuardSettings
from v2a_core.media.guard import shared_decoder
from v2a_core.media.types import MediaError
from v2a_core.metrics.av_align import motion_peaks
from v2a_core.metrics.hearing_protocols import Protocol
from v2a_core.stages.sounds import about_sound, reject_fields
from v2a_core.tables import rows
from v2a_core.tables.schema import OK


def see_video(item: Mapping[str, Any], guard: GuardSettings, protocol: Protocol) -> dict[str, Any]:
    """A row with when a video moves most; a rejected one when it cannot be looked at.

    Args:
        item: Of `features.SOUNDS`, of a video.
        guard: Limits of the process.
        protocol: How much of it is looked at: as much as is heard.
    """
    return row_of_video(item, lambda: _look(item, guard, protocol))


def row_of_video(item: Mapping[str, Any], look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A row of a video with what is found; a rejected one when it cannot be had or looked at.

    Args:
        item: Of `features.SOUNDS`, of a video.
        look: Gives what is found.
    """
    started = time.monotonic()
    fields = about_sound(item)
    try:
        found = look()
    except OSError as error:
        found = reject_fields(MediaError("fetch", type(error).__name__, str(error)))
    except MediaError as error:
        found = reject_fields(error)
    return fields | found | {"read_s": time.monotonic() - started}


def span_s(item: Mapping[str, Any], protocol: Protocol) -> float:
    """How much of a video is looked at, seconds: as much as is heard."""
    return float(min(item["length_s"] or protocol.length_s, protocol.length_s))


def _look(item: Mapping[str, Any], guard: GuardSettings, protocol: Protocol) -> dict[str, Any]:
    # It loads OpenCV, which need not be there.
    from v2a_core.media.motion import STAGE, Motion, MotionRequest

    with rows.unpack_source(item["source"]).fetch() as path:
        request = MotionRequest(path.absolute(), item["start_s"], span_s(item, protocol))
        call = worker.Call("v2a_core.media.motion:motion_of", request, reads=(request.path,), stage=STAGE)
        motion = shared_decoder(guard).run(call)
    if not isinstance(motion, Motion):
        raise MediaError(STAGE, "NoMotion", "the video has no frame in its span")
    peaks_s = motion_peaks(motion.motion_F, motion.frames_per_second)
    about = {"duration_s": len(motion.motion_F) / motion.frames_per_second, "silent": False, "status": OK}
    return about | {"peaks_s": peaks_s.tolist(), "frames_per_second": [motion.frames_per_second]}
