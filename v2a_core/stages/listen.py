"""From soundtracks to the numbers that metrics are computed from: read and cut, then embed and judge."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from v2a_core import storage
from v2a_core.media.config import FrameSettings, GuardSettings, SegmentSettings
from v2a_core.media.resample import clap_waveform
from v2a_core.media.types import MediaError, MediaSpec
from v2a_core.media.write import read_audio
from v2a_core.metrics.onsets import onset_times
from v2a_core.metrics.pitch import centroid_hz
from v2a_core.metrics.similarity import cosine
from v2a_core.metrics.tempo import tempo_hz
from v2a_core.protocols import TextEncoder
from v2a_core.stages.decode import DecodeSettings, decode_rows
from v2a_core.tables import arrays, rows
from v2a_core.tables.evaluated import EVALUATED
from v2a_core.tables.schema import EMBEDDING_DIM, OK, REJECTED

Floats = npt.NDArray[np.float32]

LENGTH_TOLERANCE_S = 0.05
SHORTEST_JUDGED_S = 0.2
# What an index says of its own row, not of what is evaluated here.
_OF_THE_INDEX_ALONE = frozenset({"reject_stage", "reject_type", "reject_message", "attempts", "recorded_at"})
# Only the sound of an original is wanted; the decoder wants a frame a segment at least.
_FEW_FRAMES = FrameSettings(frames_per_second=0.05)


@dataclass(frozen=True)
class ReadSettings:
    """How soundtracks and their originals are read.

    Attributes:
        soundtracks: Folder or URI of the output that holds them.
        segments: As the soundtracks were made.
        guard: Limits of the decoder of the originals.
        spec: What the audio encoder wants.
        originals: Whether the original sound of each source is read too.
    """

    soundtracks: str
    segments: SegmentSettings
    guard: GuardSettings
    spec: MediaSpec
    originals: bool


class WaveformEncoder(Protocol):
    """Waveforms to embeddings."""

    def encode(self, waveforms_BT: Floats) -> Floats:
        """L2-normalised float32 (B, 512)."""


class SoundJudge(Protocol):
    """Says which class a sound is."""

    @property
    def kinds(self) -> Sequence[str]:
        """Names of the classes."""

    def hear(self, waveforms_BT: Floats, sample_rate: int) -> Any:
        """An object with `probabilities_BK`, float32 (B, classes)."""


class Ears(NamedTuple):
    """The models that listen.

    Attributes:
        encoder: CLAP's audio tower.
        text: Called for its text tower when the first caption comes.
        judge: None: no verdicts.
        spec: What the encoder wants.
        embed_references: Whether originals are embedded, or only listened to.
    """

    encoder: WaveformEncoder
    text: Callable[[], TextEncoder]
    judge: SoundJudge | None
    spec: MediaSpec
    embed_references: bool


def spans(starts_s: Sequence[float], duration_s: float, length_s: float) -> list[tuple[float, float]]:
    """Start and length of the segments of a soundtrack, which ends after `duration_s`; one alone is all of it."""
    if len(starts_s) == 1:
        return [(0.0, duration_s)]
    return [(start, min(length_s, duration_s - start)) for start in starts_s]


def read_soundtrack(row: Mapping[str, Any], settings: ReadSettings) -> list[dict[str, Any]]:
    """The rows of one soundtrack, `rows.READ` without embeddings; one rejected row when it cannot be read.

    Args:
        row: Of the index, with `source` (JSON).
        settings: How.
    """
    started = time.monotonic()
    fields = {name: row[name] for name in EVALUATED.names if name in row and name not in _OF_THE_INDEX_ALONE}
    try:
        waveform, rate = _read_made(row, settings.soundtracks)
    except MediaError as error:
        return [fields | _rejected(row, error)]
    originals = _read_originals(row, settings) if settings.originals else {}
    cut = spans(row["starts_s"], row["duration_s"], settings.segments.length_s)
    found = []
    for index, (segment_id, (start_s, length_s)) in enumerate(zip(row["segment_ids"], cut, strict=True)):
        piece = waveform[round(start_s * rate) : round((start_s + length_s) * rate)]
        made = clap_waveform(piece, rate, settings.spec)
        original = originals.get(segment_id, originals.get("", "no original was read"))
        found.append(
            fields
            | {"segment_id": segment_id, "segment_index": index, "segment_count": len(cut), "status": OK}
            | {"start_s": start_s, "duration_s": length_s, "made": made.tobytes()}
            | _describe(made, length_s, settings.spec, "")
            | _original(original, length_s, settings.spec)
            | {"condition": row["conditions"][index]}
        )
    for item in found:
        item["read_s"] = (time.monotonic() - started) / len(found)
    return found


def embed_sounds(batch: pa.Table, ears: Ears) -> pa.Table:
    """Fill embeddings, similarities and verdicts; drop the samples. Rejected rows pass."""
    started = time.monotonic()
    made, reference = _waveforms(batch, "made"), _waveforms(batch, "reference")
    clap = _encode(made, ears.encoder)
    references = _encode(reference if ears.embed_references else [None] * len(made), ears.encoder)
    lengths = batch["duration_s"].to_pylist()
    labels = batch["label"].to_pylist()
    verdicts, shares = _judge(made, lengths, ears)
    known = set(ears.judge.kinds) if ears.judge else set()
    captions = _captions(batch["caption"].to_pylist(), made, ears)
    columns = {
        "clap_embedding": arrays.vectors(clap, EMBEDDING_DIM),
        "reference_embedding": arrays.vectors(references, EMBEDDING_DIM),
        "similarity_to_condition": _similarities(clap, batch["condition"].to_pylist()),
        "similarity_to_caption": _similarities(clap, captions),
        "similarity_to_reference": _similarities(clap, references),
        "judged_class": pa.array([label if label in known else None for label in labels], pa.string()),
        "verdict": pa.array(verdicts, pa.string()),
        "verdict_probability": pa.array(shares, pa.float32()),
        "reference_verdict": pa.array(_judge(reference, lengths, ears)[0], pa.string()),
        "embed_s": rows.per_row_seconds(time.monotonic() - started, [item is not None for item in made]),
    }
    batch = rows.replace(batch, columns, drop=["made", "reference", "condition"])
    bad = [item is not None and not np.isfinite(item).all() for item in clap]
    return rows.reject_where(batch, bad, MediaError("audio", "NonFinite", "the embedding of the sound is not finite"))


def _read_made(row: Mapping[str, Any], soundtracks: str) -> tuple[Floats, int]:
    uri = storage.join(soundtracks, row["audio_path"])
    try:
        with storage.local_copy(uri) as path:
            waveform, rate = read_audio(path)
    except FileNotFoundError:
        raise MediaError("fetch", "NotFound", f"no file {uri}") from None
    except OSError as error:
        raise MediaError("fetch", type(error).__name__, f"{uri}: {error}") from None
    length_s = len(waveform) / rate
    if abs(length_s - row["duration_s"]) > LENGTH_TOLERANCE_S:
        raise MediaError(
            "read", "WrongLength", f"{uri} is {length_s:.3f} s long, the index says {row['duration_s']:.3f}"
        )
    return waveform, rate


def _read_originals(row: Mapping[str, Any], settings: ReadSettings) -> dict[str, Floats | str]:
    """The original sound of each segment, as the audio encoder takes it, or why there is none (""), for all."""
    source = rows.unpack_source(row["source"])
    if source.kind != "video":
        return {"": "an image has no sound"}
    decode = DecodeSettings(settings.segments, _FEW_FRAMES, settings.guard, settings.spec, want_audio=True)
    found: dict[str, Floats | str] = {}
    for item in decode_rows(source, row["source_id"], [], decode):
        if item["status"] != OK:
            found[item["segment_id"] if item["segment_count"] else ""] = (
                f"{item['reject_type']}: {item['reject_message']}"
            )
        elif item["waveform"] is None or item["silent"]:
            found[item["segment_id"]] = "silent" if item["silent"] else "no sound"
        else:
            found[item["segment_id"]] = np.frombuffer(item["waveform"], np.float32)
    return found


def _original(original: Floats | str, length_s: float, spec: MediaSpec) -> dict[str, Any]:
    if isinstance(original, str):
        return {"reference_note": original}
    return {"reference": original.tobytes(), **_describe(original, length_s, spec, "reference_")}


def _describe(waveform_T: Floats, length_s: float, spec: MediaSpec, prefix: str) -> dict[str, Any]:
    sound = _sound(waveform_T, length_s, spec)
    rate = spec.audio_sample_rate
    return {
        f"{prefix}onsets_s": onset_times(sound, rate).tolist(),
        f"{prefix}pitch_hz": centroid_hz(sound, rate),
        f"{prefix}tempo_hz": tempo_hz(sound, rate),
    }


def _sound(waveform_T: Floats, length_s: float, spec: MediaSpec) -> Floats:
    """The sound itself, without the repetitions that fill up the audio encoder's input."""
    return waveform_T[: max(1, min(round(length_s * spec.audio_sample_rate), len(waveform_T)))]


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


def _waveforms(batch: pa.Table, column: str) -> list[Floats | None]:
    return [np.frombuffer(cell.as_buffer(), np.float32) if cell.is_valid else None for cell in batch[column]]


def _encode(waveforms: Sequence[Floats | None], encoder: WaveformEncoder) -> list[Floats | None]:
    present = [item for item in waveforms if item is not None]
    embedded: Iterator[Floats] = iter(encoder.encode(np.stack(present)) if present else ())
    return [None if item is None else next(embedded) for item in waveforms]


def _captions(captions: Sequence[str | None], made: Sequence[Floats | None], ears: Ears) -> list[Floats | None]:
    wanted = [caption if item is not None and caption else None for caption, item in zip(captions, made, strict=True)]
    texts = [caption for caption in wanted if caption is not None]
    embedded: Iterator[Floats] = iter(ears.text().embed_text(texts) if texts else ())
    return [None if caption is None else next(embedded) for caption in wanted]


def _similarities(first: Sequence[Any], second: Sequence[Any]) -> pa.Array:
    values = [
        None if a is None or b is None else float(cosine(np.asarray(a)[None], np.asarray(b)[None])[0])
        for a, b in zip(first, second, strict=True)
    ]
    return pa.array(values, pa.float32())


def _judge(
    waveforms: Sequence[Floats | None], lengths_s: Sequence[float | None], ears: Ears
) -> tuple[list[str | None], list[float | None]]:
    """Verdicts and their probabilities; sounds of one length are judged together."""
    verdicts: list[str | None] = [None] * len(waveforms)
    shares: list[float | None] = [None] * len(waveforms)
    if ears.judge is None:
        return verdicts, shares
    groups: defaultdict[int, list[tuple[int, Floats]]] = defaultdict(list)
    for row, (waveform, length_s) in enumerate(zip(waveforms, lengths_s, strict=True)):
        if waveform is not None and length_s is not None and length_s >= SHORTEST_JUDGED_S:
            sound = _sound(waveform, length_s, ears.spec)
            groups[len(sound)].append((row, sound))
    for group in groups.values():
        heard = ears.judge.hear(np.stack([sound for _, sound in group]), ears.spec.audio_sample_rate)
        for (row, _), probabilities_K in zip(group, heard.probabilities_BK, strict=True):
            best = int(np.argmax(probabilities_K))
            verdicts[row], shares[row] = ears.judge.kinds[best], float(probabilities_K[best])
    return verdicts, shares
