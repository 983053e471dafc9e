"""From soundtracks to the numbers that metrics are computed from: read and cut, then embed and judge."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from v2a_core import storage
from v2a_core.config import Settings
from v2a_core.media.config import FrameSettings, GuardSettings, SegmentSettings
from v2a_core.media.resample import is_silent
from v2a_core.media.types import MediaError, MediaSpec, Pcm
from v2a_core.media.write import read_pcm
from v2a_core.metrics import inputs
from v2a_core.metrics.config import ExtractorSettings
from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.extractors.base import BatchExtractor, Hearing, SoundExtractor, Sounds
from v2a_core.metrics.extractors.schema import evaluated_schema
from v2a_core.metrics.hearing_protocols import Protocol
from v2a_core.metrics.systems.sets import spans
from v2a_core.models import LocalBundle
from v2a_core.protocols import JSON
from v2a_core.registry import Entry
from v2a_core.stages.decode import DecodeSettings, decode_rows
from v2a_core.stages.sounds import load_sound
from v2a_core.tables import arrays, rows
from v2a_core.tables.evaluated import pack_pcm, unpack_pcm
from v2a_core.tables.schema import OK, REJECTED

LENGTH_TOLERANCE_S = 0.05
# What an index says of its own row, not of what is evaluated here.
_OF_THE_INDEX_ALONE = frozenset({"reject_stage", "reject_type", "reject_message", "attempts", "recorded_at"})
# Only the sound of an original is wanted; the decoder wants a frame a segment at least.
_FEW_FRAMES = FrameSettings(frames_per_second=0.05)


@dataclass(frozen=True)
class ReadSettings:
    """How soundtracks and their originals are read.

    Attributes:
        soundtracks: Folder or URI of the output that holds them; empty: their paths are absolute.
        segments: As the soundtracks were made.
        guard: Limits of the decoder of the originals.
        spec: What the audio encoder wants.
        protocol: Which part of a sound is heard.
        originals: Whether the original sound of each source is read too.
        extractors: What is found out about each sound by itself.
    """

    soundtracks: str
    segments: SegmentSettings
    guard: GuardSettings
    spec: MediaSpec
    protocol: Protocol
    originals: bool
    extractors: Sequence[SoundExtractor]


def read_soundtrack(row: Mapping[str, Any], settings: ReadSettings) -> list[dict[str, Any]]:
    """The rows of one soundtrack, `rows.READ` without embeddings; one rejected row when it cannot be read.

    Args:
        row: Of the index, with `source` (JSON).
        settings: How.
    """
    started = time.monotonic()
    fields = {name: row[name] for name in evaluated_schema().names if name in row and name not in _OF_THE_INDEX_ALONE}
    try:
        sound = _read_made(row, settings.soundtracks)
    except MediaError as error:
        return [fields | _rejected(row, error)]
    originals = _read_originals(row, settings) if settings.originals else {}
    cut = spans(row["starts_s"], row["duration_s"], settings.segments.length_s)
    found = []
    for index, (segment_id, (start_s, length_s)) in enumerate(zip(row["segment_ids"], cut, strict=True)):
        made = sound.span(start_s, min(length_s, settings.spec.audio_samples / settings.spec.audio_sample_rate))
        original = originals.get(segment_id, originals.get("", "no original was read"))
        found.append(
            fields
            | {"segment_id": segment_id, "segment_index": index, "segment_count": len(cut), "status": OK}
            | {"start_s": start_s, "duration_s": length_s, "made": pack_pcm(made)}
            | _describe(made, settings, "")
            | _original(original, settings)
            | {"condition": row["conditions"][index] if row["conditions"] else None}
        )
    for item in found:
        item["read_s"] = (time.monotonic() - started) / len(found)
    return found


def embed_sounds(batch: pa.Table, extractors: Sequence[BatchExtractor]) -> pa.Table:
    """Fill what is heard with models; drop the samples. Rejected rows pass."""
    started = time.monotonic()
    sounds = Sounds(
        made=unpack_pcm(batch["made"]),
        reference=unpack_pcm(batch["reference"]),
        labels=batch["label"].to_pylist(),
        captions=batch["caption"].to_pylist(),
        conditions=arrays.read_vectors(batch["condition"]),
    )
    found = [extractor.extract(sounds) for extractor in extractors]
    columns = {name: values for extracted in found for name, values in extracted.items()}
    columns["embed_s"] = rows.per_row_seconds(time.monotonic() - started, [item is not None for item in sounds.made])
    batch = rows.replace(batch, columns, drop=["made", "reference", "condition"])
    for extractor, extracted in zip(extractors, found, strict=True):
        for row, error in extractor.refused(extracted).items():
            batch = rows.reject_where(batch, [place == row for place in range(batch.num_rows)], error)
    return batch


def described(settings: ExtractorSettings, models: LocalBundle) -> dict[str, JSON]:
    """What those depend on whose columns are in the rows, by name; a network's rows are its own.

    Args:
        settings: Of all.
        models: The bundle.

    Raises:
        ConfigError: When the weights of one cannot be had.
    """
    owned = {entry.name: _own(settings, entry) for entry in _of_kind(SoundExtractor, BatchExtractor)}
    found = {name: own.model_dump(mode="json") for name, own in owned.items() if own}
    # Of the weights themselves, not of where they lie: folders may be moved.
    for name, sha256 in weights_of(settings, models).items():
        found[name] = {**found.get(name, {}), "weights": sha256}
    return {**found}


def weights_of(settings: ExtractorSettings, models: LocalBundle) -> dict[str, str]:
    """Sha256 of what those hear with whose columns are in the rows, by name; of those that have weights.

    Args:
        settings: Of all.
        models: The bundle.

    Raises:
        ConfigError: When the weights of one cannot be had.
    """
    found = {entry.name: entry.component.weights(_own(settings, entry), models) for entry in _of_kind(BatchExtractor)}
    return {name: sha256 for name, sha256 in found.items() if sha256}


def batch_extractors(settings: ExtractorSettings, hearing: Hearing) -> list[BatchExtractor]:
    """Those that hear with models, loaded."""
    return [entry.component(_own(settings, entry), hearing) for entry in _of_kind(BatchExtractor)]


def sound_extractors(settings: ExtractorSettings) -> list[SoundExtractor]:
    """Those that describe each sound by itself."""
    return [entry.component(_own(settings, entry)) for entry in _of_kind(SoundExtractor)]


def _of_kind(*kinds: type) -> list[Entry[Any]]:
    return [entry for entry in map(EXTRACTORS.__getitem__, EXTRACTORS.names()) if issubclass(entry.component, kinds)]


def _own(settings: ExtractorSettings, entry: Entry[Any]) -> Settings | None:
    return settings.own(entry.name, entry.settings) if entry.settings else None


def _read_made(row: Mapping[str, Any], soundtracks: str) -> Pcm:
    uri = inputs.sound_uri(soundtracks, row["audio_path"])
    try:
        with storage.local_copy(uri) as path:
            sound = read_pcm(path)
    except FileNotFoundError:
        raise MediaError("fetch", "NotFound", f"no file {uri}") from None
    except OSError as error:
        raise MediaError("fetch", type(error).__name__, f"{uri}: {error}") from None
    if abs(sound.length_s - row["duration_s"]) > LENGTH_TOLERANCE_S:
        raise MediaError(
            "read", "WrongLength", f"{uri} is {sound.length_s:.3f} s long, the index says {row['duration_s']:.3f}"
        )
    return sound


def _read_originals(row: Mapping[str, Any], settings: ReadSettings) -> dict[str, Pcm | str]:
    """The original sound of each segment as it is in its file, or why there is none (""), for all."""
    if row.get("reference") is not None:  # of a system of another program: a sound of its own
        return {"": _read_reference(row["reference"], settings)}
    source = rows.unpack_source(row["source"])
    if source.kind != "video":
        return {"": "an image has no sound"}
    decode = DecodeSettings(settings.segments, _FEW_FRAMES, settings.guard, settings.spec, want_audio=True, native=True)
    found: dict[str, Pcm | str] = {}
    for item in decode_rows(source, row["source_id"], [], decode):
        if item["status"] != OK:
            found[item["segment_id"] if item["segment_count"] else ""] = (
                f"{item['reject_type']}: {item['reject_message']}"
            )
        else:
            native = None if item["silent"] else item["native"]
            found[item["segment_id"]] = native or ("silent" if item["silent"] else "no sound")
    return found


def _read_reference(reference: str, settings: ReadSettings) -> Pcm | str:
    """The sound of a row's reference, or why there is none.

    Args:
        reference: A row of `features.SOUNDS` as JSON; empty: there is none.
        settings: How.
    """
    if not reference:
        return "no reference"
    try:
        pcm = load_sound(json.loads(reference), settings.guard)
    except MediaError as error:
        return f"{error.error_type}: {error}"
    heard_s = settings.spec.audio_samples / settings.spec.audio_sample_rate
    return "silent" if is_silent(pcm.first_channel) else pcm.span(0.0, heard_s)


def _original(original: Pcm | str, settings: ReadSettings) -> dict[str, object]:
    if isinstance(original, str):
        return {"reference_note": original}
    return {"reference": pack_pcm(original), **_describe(original, settings, "reference_")}


def _describe(pcm: Pcm, settings: ReadSettings, prefix: str) -> dict[str, object]:
    sound = settings.protocol.mono(pcm)
    return {
        f"{prefix}{name}": value
        for extractor in settings.extractors
        for name, value in extractor.describe(sound, pcm.sample_rate).items()
    }


def _rejected(row: Mapping[str, Any], error: MediaError) -> dict[str, Any]:
    return {
        "segment_id": f"{row['source_id']}-source",
        "segment_index": -1,
        "segment_count": 0,
        "status": REJECTED,
        "reject_stage": error.stage,
        "reject_type": error.error_type,
        "reject_message": str(error),
        "attempts": error.attempts,
    }
