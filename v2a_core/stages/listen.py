"""From soundtracks to the numbers that metrics are computed from: read and cut, then embed."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

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
from v2a_core.metrics.extractors.clap import CLAP
from v2a_core.metrics.extractors.folder import HearingExtractor
from v2a_core.metrics.extractors.schema import evaluated_schema
from v2a_core.metrics.hearing_protocols import Protocol
from v2a_core.metrics.systems.sets import Span, made_entry, segments_of, video_entry
from v2a_core.models import LocalBundle
from v2a_core.protocols import JSON
from v2a_core.registry import Entry
from v2a_core.stages.decode import DecodeSettings, decode_rows
from v2a_core.stages.sounds import about_samples, about_sound, carry, load_sound, no_sound, reject_fields
from v2a_core.tables import arrays, rows
from v2a_core.tables.evaluated import ABOUT, carried_column, pack_pcm, unpack_pcm
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
        return [fields | _rejected(row, error) | _for_riders(row, error, settings)]
    originals = _read_originals(row, settings) if settings.originals else {}
    segments = segments_of(row, settings.segments.length_s)
    found = []
    for index, (segment_id, (start_s, length_s)) in enumerate(segments):
        made = sound.span(start_s, min(length_s, settings.spec.audio_samples / settings.spec.audio_sample_rate))
        original = originals.get(segment_id, originals.get("", _NOT_READ))
        about = about_sound(made_entry(row, segment_id, (start_s, length_s), settings.soundtracks))
        found.append(
            fields
            | {"segment_id": segment_id, "segment_index": index, "segment_count": len(segments), "status": OK}
            | {"start_s": start_s, "duration_s": length_s, "made": pack_pcm(made), "sound_id": about["segment_id"]}
            | {"about_made": about | about_samples(sound.span(start_s, length_s))}
            | _describe(made, settings, "")
            | _of_original(original, settings)
            | {"about_reference": _about_original(row, segment_id, (start_s, length_s), original)}
            | {"condition": row["conditions"][index] if row["conditions"] else None}
            | {"reference_known": row.get("reference_known")}
        )
    for item in found:
        item["read_s"] = (time.monotonic() - started) / len(found)
    return found


@dataclass(frozen=True)
class Riders:
    """Extractors with folders of their own that hear in the same pass.

    Attributes:
        extractors: By their names; CLAP is one.
        protocol: Which part of a sound is heard.
        made_alone: Names of those that hear no originals.
    """

    extractors: Mapping[str, HearingExtractor]
    protocol: Protocol
    made_alone: Collection[str] = ()

    def carry(self, batch: pa.Table) -> dict[str, pa.Array]:
        """The columns that `carried_column` names: what each found of both sounds of each row."""
        sounds = {about: unpack_pcm(batch[name]) for about, name in zip(ABOUT, ("made", "reference"), strict=True)}
        known = [names or () for names in batch["reference_known"].to_pylist()]
        found = {}
        for name, extractor in self.extractors.items():
            for about, pcms in sounds.items():
                of_rows = batch[about].combine_chunks()
                if about != ABOUT[0]:
                    wanted = [name not in self.made_alone and name not in names for names in known]
                    of_rows = pc.if_else(pa.array(wanted, pa.bool_()), of_rows, pa.scalar(None, of_rows.type))
                found[carried_column(name, about)] = carry(of_rows, pcms, extractor, self.protocol)
        return found


def embed_sounds(batch: pa.Table, extractors: Sequence[BatchExtractor], riders: Riders) -> pa.Table:
    """Fill what is heard with models; drop the samples. Rejected rows pass.

    Args:
        batch: Rows of `schema.read_schema`.
        extractors: Their columns are a part of the rows.
        riders: Others, whose findings the rows carry for folders of their own.
    """
    started = time.monotonic()
    carried, made, notes = riders.carry(batch), unpack_pcm(batch["made"]), batch["reference_note"].to_pylist()
    pairs = zip(made, unpack_pcm(batch["reference"]), notes, strict=True)
    clap = carried[carried_column(CLAP, ABOUT[0])].field("embedding")
    sounds = Sounds(
        made=made,
        reference=[None if sound is None or note else original for sound, original, note in pairs],
        labels=batch["label"].to_pylist(),
        captions=batch["caption"].to_pylist(),
        conditions=arrays.read_vectors(batch["condition"]),
        embedded=arrays.read_vectors(pa.chunked_array([clap])),
    )
    found = [extractor.extract(sounds) for extractor in extractors]
    columns = carried | {name: values for extracted in found for name, values in extracted.items()}
    columns["embed_s"] = rows.per_row_seconds(time.monotonic() - started, [item is not None for item in made])
    batch = rows.replace(batch, columns, drop=["made", "reference", "condition", "reference_known", *ABOUT])
    for extractor in extractors:
        for row, error in extractor.refused(sounds).items():
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


def heard_by(name: str) -> str:
    """Which extractor heard what one compares: the same, unless it takes another one's findings."""
    component = EXTRACTORS[name].component
    return (component.heard_by if issubclass(component, BatchExtractor) else "") or name


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


@dataclass(frozen=True)
class _Original:
    """The original sound of a segment.

    Attributes:
        pcm: As it is in its file; None: there is none.
        note: Why it is not compared with; empty when it is.
        error: Why it could not be read.
    """

    pcm: Pcm | None
    note: str = ""
    error: MediaError | None = None


_NOT_READ = _Original(None, "no original was read")


def _read_originals(row: Mapping[str, Any], settings: ReadSettings) -> dict[str, _Original]:
    """The original sound of each segment, or of all ("")."""
    if row.get("reference") is not None:  # of a system of another program: a sound of its own
        return {"": _read_reference(row["reference"], settings)}
    source = rows.unpack_source(row["source"])
    if source.kind != "video":
        return {"": _Original(None, "an image has no sound")}
    decode = DecodeSettings(settings.segments, _FEW_FRAMES, settings.guard, settings.spec, want_audio=True, native=True)
    found: dict[str, _Original] = {}
    for item in decode_rows(source, row["source_id"], [], decode):
        if item["status"] != OK:
            error = MediaError(item["reject_stage"], item["reject_type"], item["reject_message"], item["attempts"])
            note = f"{item['reject_type']}: {item['reject_message']}"
            found[item["segment_id"] if item["segment_count"] else ""] = _Original(None, note, error)
        elif item["native"] is None:
            found[item["segment_id"]] = _Original(None, "no sound", no_sound(source.name))
        else:
            found[item["segment_id"]] = _Original(item["native"], "silent" if item["silent"] else "")
    return found


def _read_reference(reference: str, settings: ReadSettings) -> _Original:
    """The sound of a row's reference.

    Args:
        reference: A row of `features.SOUNDS` as JSON; empty: there is none.
        settings: How.
    """
    if not reference:
        return _Original(None, "no reference")
    try:
        pcm = load_sound(json.loads(reference), settings.guard)
    except MediaError as error:
        return _Original(None, f"{error.error_type}: {error}", error)
    return _Original(pcm, "silent" if is_silent(pcm.first_channel) else "")


def _of_original(original: _Original, settings: ReadSettings) -> dict[str, object]:
    """The columns of what is compared with."""
    if original.pcm is None:
        return {"reference_note": original.note}
    heard = original.pcm.span(0.0, settings.spec.audio_samples / settings.spec.audio_sample_rate)
    if original.note:
        return {"reference_note": original.note, "reference": pack_pcm(heard)}
    return {"reference": pack_pcm(heard), **_describe(heard, settings, "reference_")}


def _for_riders(row: Mapping[str, Any], error: MediaError, settings: ReadSettings) -> dict[str, object]:
    """What others are told of a soundtrack that cannot be read, and its original; nothing of one of several segments.

    Their own jobs hear what is not told here.
    """
    segments = segments_of(row, settings.segments.length_s)
    if error.transient or len(segments) > 1:
        return {}
    ((segment_id, span),) = segments
    originals = _read_originals(row, settings) if settings.originals else {}
    original = originals.get(segment_id, originals.get("", _NOT_READ))
    return {
        "about_made": about_sound(made_entry(row, segment_id, span, settings.soundtracks)) | reject_fields(error),
        "about_reference": _about_original(row, segment_id, span, original),
        "reference_known": row.get("reference_known"),
        "reference": None if original.pcm is None else pack_pcm(original.pcm),
    }


def _about_original(
    row: Mapping[str, Any], segment_id: str, span: Span, original: _Original
) -> dict[str, object] | None:
    """What is known of an original that is to be heard; None of one that is not, now or ever."""
    if row.get("reference") is not None:
        if not row["reference"]:
            return None
        about = about_sound(json.loads(row["reference"]))
    else:
        source = rows.unpack_source(row["source"])
        about = about_sound(video_entry(segment_id, row["source_id"], source, row["source_id"], span))
    if original.pcm is not None:
        return about | about_samples(original.pcm)
    return about | reject_fields(original.error) if original.error and not original.error.transient else None


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
