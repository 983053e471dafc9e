"""From a list of sounds to what a network finds out about them: read, then heard."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from v2a_core import storage
from v2a_core.media.config import FrameSettings, GuardSettings, SegmentSettings
from v2a_core.media.resample import is_silent
from v2a_core.media.types import MediaError, MediaSpec, Pcm
from v2a_core.media.write import read_pcm
from v2a_core.metrics.extractors.folder import HearingExtractor
from v2a_core.metrics.hearing_protocols import Protocol
from v2a_core.stages.decode import DecodeSettings, decode_rows
from v2a_core.tables import rows
from v2a_core.tables.evaluated import pack_pcm, unpack_pcm
from v2a_core.tables.features import carried
from v2a_core.tables.schema import OK, REJECTED

ThingT = TypeVar("ThingT")

SILENCE = "silence"
# A network hears this, too: how far silence is from real sounds tells what a distance is worth.
_SILENCE = Pcm(np.zeros((160_000, 1), np.float32), 16_000)
_FEW_FRAMES = FrameSettings(frames_per_second=0.05)


def read_sound(item: Mapping[str, Any], guard: GuardSettings) -> dict[str, Any]:
    """A row of `features.with_sound` without what the network finds; a rejected one when it cannot be read.

    Args:
        item: Of `features.SOUNDS`.
        guard: Limits of the decoder of videos.
    """
    started = time.monotonic()
    fields = about_sound(item)
    try:
        pcm = load_sound(item, guard)
    except MediaError as error:
        return fields | reject_fields(error) | {"read_s": time.monotonic() - started}
    return fields | about_samples(pcm) | {"sound": pack_pcm(pcm), "read_s": time.monotonic() - started}


def about_sound(item: Mapping[str, Any]) -> dict[str, Any]:
    """What a row of a sound says of it before anybody has heard it.

    Args:
        item: Of `features.SOUNDS`.
    """
    return {
        **dict.fromkeys(("segment_id", "source_id", "source_key"), item["sound_id"]),
        "source_uri": item["uri"] or item["name"],
        "source_name": item["name"],
        "kind": "audio" if item["source"] is None else "video",
        "segment_index": 0,
        "segment_count": 1,
        "content": item["content"],
        "start_s": item["start_s"],
    }


def about_samples(pcm: Pcm) -> dict[str, Any]:
    """What a row of a sound that could be read says of its samples."""
    return {
        "duration_s": pcm.length_s,
        "sample_rate_hz": pcm.sample_rate,
        "channels": pcm.samples_TC.shape[1],
        "silent": all(is_silent(channel_T) for channel_T in pcm.samples_TC.T),
        "status": OK,
    }


def no_sound(name: str) -> MediaError:
    """That a video has none."""
    return MediaError("audio", "NoSound", f"{name} has no sound")


def reject_fields(error: MediaError) -> dict[str, Any]:
    """What a row says of why there is nothing in it."""
    return {
        "status": REJECTED,
        "reject_stage": error.stage,
        "reject_type": error.error_type,
        "reject_message": str(error),
        "attempts": error.attempts,
    }


def hear_sounds(batch: pa.Table, extractor: HearingExtractor, protocol: Protocol) -> pa.Table:
    """Fill what an extractor finds out; drop the samples. Rejected rows pass, and what is not finite is rejected."""
    return fill(batch, unpack_pcm(batch["sound"]), lambda sounds: extractor.extract(sounds, protocol), "sound")


def carry(
    about: pa.StructArray, sounds: Sequence[Pcm | None], extractor: HearingExtractor, protocol: Protocol
) -> pa.Array:
    """What an extractor finds out of the sounds of other rows, as rows of its folder.

    Args:
        about: Of `features.carried` without what is found; null of a sound that is not to be heard.
        sounds: Those that there are.
        extractor: Whose folder.
        protocol: What is heard of them.

    Returns:
        A value of `features.carried` a sound, null likewise.
    """
    schema, known = carried(extractor.columns), about.is_valid().to_pylist()
    batch = pa.Table.from_struct_array(about)
    batch = batch.append_column("sound", pa.nulls(batch.num_rows))
    wanted = [pcm if there else None for pcm, there in zip(sounds, known, strict=True)]
    found = fill(batch, wanted, lambda present: extractor.extract(present, protocol), "sound")
    columns = [
        found[field.name].combine_chunks().cast(field.type)
        if field.name in found.column_names
        else pa.nulls(len(known), field.type)
        for field in schema
    ]
    mask = pa.array([not there for there in known], pa.bool_())
    return pa.StructArray.from_arrays(columns, fields=list(schema), mask=mask)


def fill(
    batch: pa.Table,
    things: Sequence[ThingT | None],
    extract: Callable[[Sequence[ThingT]], Mapping[str, pa.Array]],
    column: str,
) -> pa.Table:
    """Fill what is found out about each row's sound or film.

    Args:
        batch: Rows.
        things: What each of them holds; None of a rejected one.
        extract: Columns from those that are there.
        column: Where they lie: it is dropped.
    """
    started = time.monotonic()
    present = [row for row, thing in enumerate(things) if thing is not None]
    columns: dict[str, Any] = {}
    infinite = np.zeros(len(things), bool)
    if present:
        found = extract([thing for thing in things if thing is not None])
        places = pa.array([present.index(row) if row in present else None for row in range(len(things))], pa.int64())
        columns = {name: values.take(places) for name, values in found.items()}
        for values in found.values():
            infinite[present] |= _infinite(values)
    columns["extract_s"] = rows.per_row_seconds(time.monotonic() - started, [thing is not None for thing in things])
    batch = rows.replace(batch, columns, drop=[column])
    error = MediaError("audio" if column == "sound" else "decode", "NonFinite", "what the network found is not finite")
    return rows.reject_where(batch, infinite.tolist(), error) if infinite.any() else batch


def _infinite(values: pa.Array) -> npt.NDArray[np.bool_]:
    """Which values are numbers, or have some, that are not finite."""
    if pa.types.is_floating(values.type):
        return np.asarray(~np.isfinite(values.fill_null(0.0).to_numpy()), bool)
    if not pa.types.is_list(values.type):
        return np.zeros(len(values), bool)
    bad = [cell.is_valid and not np.isfinite(cell.values.to_numpy(zero_copy_only=False)).all() for cell in values]
    return np.array(bad, bool)


def load_sound(item: Mapping[str, Any], guard: GuardSettings) -> Pcm:
    """A sound as it is in its file.

    Args:
        item: Of `features.SOUNDS`.
        guard: Limits of the decoder of videos.

    Raises:
        MediaError: When it cannot be read, is empty, or has samples that are not finite.
    """
    return _checked(_read(item, guard), item["name"])


def _read(item: Mapping[str, Any], guard: GuardSettings) -> Pcm:
    if item["content"] == SILENCE:
        return _SILENCE
    if item["source"] is not None:
        return _of_video(item, guard)
    try:
        with storage.local_copy(item["uri"]) as path:
            _check_content(path, item)
            pcm = read_pcm(path)
    except FileNotFoundError:
        raise MediaError("fetch", "NotFound", f"no file {item['uri']}") from None
    except OSError as error:
        raise MediaError("fetch", type(error).__name__, f"{item['uri']}: {error}") from None
    return pcm.span(item["start_s"], item["length_s"] or pcm.length_s)


def _check_content(path: Path, item: Mapping[str, Any]) -> None:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != item["content"]:
        raise MediaError("read", "Changed", f"{item['uri']} is another file than that of sha256 {item['content']}")


def _of_video(item: Mapping[str, Any], guard: GuardSettings) -> Pcm:
    segments = SegmentSettings(whole=True)
    decode = DecodeSettings(segments, _FEW_FRAMES, guard, MediaSpec(), want_audio=True, native=True)
    # To the end: whoever leaves a decoder in the middle of its answer ends it, and the next video waits for another.
    found = list(decode_rows(rows.unpack_source(item["source"]), item["content"], [], decode))
    if not found:
        raise MediaError("audio", "NoSound", f"{item['name']} has no segment")
    row = found[0]
    if row["status"] != OK:
        raise MediaError(row["reject_stage"], row["reject_type"], row["reject_message"], row["attempts"])
    native = row["native"]
    if native is None:
        raise no_sound(item["name"])
    return native


def _checked(pcm: Pcm, name: str) -> Pcm:
    if not pcm.samples_TC.size:
        raise MediaError("audio", "Empty", f"{name} has no samples")
    if not np.isfinite(pcm.samples_TC).all():
        raise MediaError("audio", "NonFinite", f"{name} has samples that are NaN or infinite")
    return pcm
