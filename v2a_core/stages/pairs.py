"""From a list of sounds with their videos to what a network finds out about both: read, then compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from v2a_core.media.config import GuardSettings
from v2a_core.media.types import MediaError
from v2a_core.metrics.extractors.folder import PairExtractor
from v2a_core.metrics.hearing_protocols import Protocol
from v2a_core.stages.sounds import about_sound, fill, read_sound, reject_fields
from v2a_core.tables import arrays
from v2a_core.tables.evaluated import unpack_pcm
from v2a_core.tables.schema import OK


def read_pair(
    item: Mapping[str, Any], video: Mapping[str, Any] | None, column: str, guard: GuardSettings
) -> dict[str, Any]:
    """A row of `features.with_pair` without what the network finds; a rejected one when half of the pair is missing.

    Args:
        item: Of `features.PAIRS`.
        video: The row of what was seen of its video; None: there is none yet.
        column: What was seen.
        guard: Limits of the decoder of videos.
    """
    if video is None:
        error = MediaError("fetch", "NotSeen", f"the video of {item['name']} could not be fetched to be seen")
        return about_sound(item) | reject_fields(error) | {"read_s": 0.0}
    if video["status"] != OK:
        stage, kind, message = (video[f"reject_{name}"] for name in ("stage", "type", "message"))
        return about_sound(item) | reject_fields(MediaError(stage, kind, f"its video: {message}")) | {"read_s": 0.0}
    return read_sound(item, guard) | {"seen": video[column]}


def hear_pairs(batch: pa.Table, extractor: PairExtractor, protocol: Protocol) -> pa.Table:
    """Fill what an extractor finds out; drop samples and what was seen. Rejected rows pass."""
    sounds, seen = unpack_pcm(batch["sound"]), arrays.read_vectors(batch["seen"])
    pairs = [
        None if sound is None or video is None else (sound, video) for sound, video in zip(sounds, seen, strict=True)
    ]
    return fill(
        batch.drop_columns(["seen"]),
        pairs,
        lambda present: extractor.extract([sound for sound, _ in present], [video for _, video in present], protocol),
        "sound",
    )
