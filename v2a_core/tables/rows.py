"""Segments as rows of Arrow tables on their way between stages.

`TRANSIT` is `schema.EMBEDDINGS`, its frames not embedded yet, with what only travels: pixels and samples as bytes
(dropped by the stage that has used them, so that they never pile up), the source to fetch again, and the seconds that
each stage took.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from v2a_core.catalog import Source
from v2a_core.catalog.source import source_key
from v2a_core.media.types import NOT_FOUND, TRANSIENT_STAGES, DecodedSegment, MediaError, Pcm, Segment
from v2a_core.storage.public import public, public_text
from v2a_core.storage.retrying import Traffic
from v2a_core.tables.partial import Partial
from v2a_core.tables.schema import OK, REJECTED, embeddings_schema

# A row on its way into a table, or out of it: which values it holds, and of which types, says the table's schema.
Row: TypeAlias = dict[str, object]

# What a row's stages fetched from storage, and how often they had to try again.
TRAFFIC = (pa.field("bytes_read", pa.int64()), pa.field("retries", pa.int64()))

# An encoder decides how wide its embeddings are: until then the column has no type.
_UNSEEN = {"vision_frames": pa.null(), "timing_frames": pa.null()}

TRANSIT = pa.schema(
    [
        *(field.with_type(_UNSEEN.get(field.name, field.type)) for field in embeddings_schema(timing=True)),
        pa.field("source", pa.string()),  # the Source as JSON
        pa.field("condition_text", pa.string()),  # of systems that go through text
        pa.field("frames", pa.large_binary()),  # uint8 (n, size, size, 3), C order
        pa.field("timing_pixels", pa.large_binary()),  # the same, of the denser frames
        pa.field("waveform", pa.large_binary()),  # float32 (samples,), levelled, at 16 kHz
        pa.field("decode_s", pa.float64()),
        *TRAFFIC,
        pa.field("vision_s", pa.float64()),
        pa.field("audio_s", pa.float64()),
    ]
)


class DecodedRow(TypedDict, total=False):
    """A row of `TRANSIT` as decoding makes it, or a part of it; a column that is not there is null."""

    source_id: str
    source_key: str
    source_uri: str
    source_name: str
    kind: str
    label: str | None
    split: str | None
    caption: str | None
    segment_id: str
    segment_index: int
    segment_count: int
    start_s: float
    duration_s: float
    source: str
    source_duration_s: float
    frame_times_s: npt.NDArray[np.float32]
    timing_times_s: npt.NDArray[np.float32] | None
    timing_motion: npt.NDArray[np.float32] | None
    timing_level: npt.NDArray[np.float32]
    timing_onsets_s: npt.NDArray[np.float32]
    audio_rms_dbfs: float | None
    silent: bool
    decoder: str
    damaged: bool
    decoded_share: float
    status: str
    reject_stage: str
    reject_type: str
    reject_message: str
    attempts: int
    frames: memoryview | None
    timing_pixels: memoryview | None
    waveform: memoryview | None
    native: Pcm | None
    decode_s: float


def pack_source(source: Source) -> str:
    """A source as one JSON string: a single column type, whatever fields are empty."""
    return json.dumps(source.to_row(), ensure_ascii=False)


def unpack_source(text: str) -> Source:
    """The inverse of `pack_source`."""
    return Source.from_row(json.loads(text))


def catalog_fields(source: Source, source_id: str) -> DecodedRow:
    """The columns that every row of a source has."""
    return {
        "source_id": source_id,
        "source_key": source_key(source),
        "source_uri": public(source.uri),
        "source_name": source.name,
        "kind": source.kind,
        "label": source.label,
        "split": source.split,
        "caption": source.caption,
    }


def decoded_row(source: Source, source_id: str, decoded: DecodedSegment, seconds: float) -> DecodedRow:
    """A row for a decoded segment."""
    timed = decoded.timed
    pixels = None if timed is None else timed.frames_NHWC
    return {
        **catalog_fields(source, source_id),
        **_segment_fields(decoded.segment),
        "source": pack_source(source),
        "source_duration_s": decoded.source_duration_s,
        "frame_times_s": decoded.frame_times_s,
        "audio_rms_dbfs": decoded.audio_rms_dbfs,
        "silent": decoded.silent,
        "decoder": decoded.decoder,
        "damaged": decoded.damaged,
        "decoded_share": decoded.decoded_share,
        "status": OK,
        "frames": _bytes_of(decoded.frames_NHWC) if len(decoded.frames_NHWC) else None,
        "waveform": None if decoded.waveform is None else _bytes_of(decoded.waveform),
        "native": decoded.native,
        "timing_times_s": None if timed is None else timed.times_s_N,
        "timing_motion": None if timed is None else timed.motion_N,
        "timing_pixels": None if pixels is None else _bytes_of(pixels),
        "decode_s": seconds,
    }


def rejected_row(
    source: Source, source_id: str, error: MediaError, segment: Segment | None = None, seconds: float = 0.0
) -> DecodedRow:
    """A row for a segment, or a whole source, that could not be processed."""
    whole: DecodedRow = {"segment_id": f"{source_id}-source", "segment_index": -1, "segment_count": 0}
    return {
        **catalog_fields(source, source_id),
        **(whole if segment is None else _segment_fields(segment)),
        "source": pack_source(source),
        "status": REJECTED,
        "reject_stage": error.stage,
        "reject_type": error.error_type,
        "reject_message": public_text(str(error)),
        "attempts": error.attempts,
        "decode_s": seconds,
    }


def rejected_rest(row: DecodedRow, partial: Partial) -> list[DecodedRow]:
    """A source that was rejected as a whole when some of its segments were there: a reject for each of the others."""
    return [
        {
            **row,
            "segment_id": f"{row['source_id']}-{index}",
            "segment_index": index,
            "segment_count": partial.count,
        }
        for index in partial.missing()
    ]


def stamped(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Rows as they are recorded: the columns of `schema`, with the time."""
    if "recorded_at" in schema.names:
        now = pa.scalar(time.time_ns() // 1000, pa.timestamp("us", "UTC"))
        rows = replace(rows, {"recorded_at": pa.repeat(now, rows.num_rows)})
    return rows.select(schema.names).cast(schema)


def is_transient(rows: pa.Table) -> pa.ChunkedArray:
    """Which rows are rejects that the next run tries again."""
    rejected = pa.compute.equal(rows["status"], REJECTED)
    return pa.compute.and_(rejected, pa.compute.is_in(rows["reject_stage"], value_set=pa.array(TRANSIENT_STAGES)))


def is_missing(rejected: pa.Table) -> pa.ChunkedArray:
    """Which rejects are of what a listing names and nobody has."""
    stage, kind = NOT_FOUND
    return pa.compute.and_(
        pa.compute.equal(rejected["reject_stage"], stage), pa.compute.equal(rejected["reject_type"], kind)
    )


def table(rows: Sequence[Mapping[str, object]]) -> pa.Table:
    """Rows as a table of the `TRANSIT` schema."""
    return pa.Table.from_pylist(list(rows), schema=TRANSIT)


def read_frames(rows: pa.Table, image_size: int, column: str = "frames") -> list[npt.NDArray[np.uint8] | None]:
    """The frames of each row, (n, image_size, image_size, 3); None for rejected rows."""
    cells = rows[column]
    return [
        np.frombuffer(cell.as_buffer(), np.uint8).reshape(-1, image_size, image_size, 3) if cell.is_valid else None
        for cell in cells
    ]


def read_waveforms(rows: pa.Table) -> list[npt.NDArray[np.float32] | None]:
    """The waveform of each row, float32 (samples,) at 16 kHz; None without audio."""
    return [np.frombuffer(cell.as_buffer(), np.float32) if cell.is_valid else None for cell in rows["waveform"]]


def replace(rows: pa.Table, columns: dict[str, pa.Array], *, drop: Sequence[str] = ()) -> pa.Table:
    """The table with some columns replaced and others dropped."""
    for name, values in columns.items():
        index = rows.schema.get_field_index(name)
        field = pa.field(name, values.type) if index < 0 else rows.schema.field(index).with_type(values.type)
        rows = rows.append_column(field, values) if index < 0 else rows.set_column(index, field, values)
    return rows.drop_columns([name for name in drop if name in rows.schema.names])


def reject_where(rows: pa.Table, bad: Sequence[bool], error: MediaError) -> pa.Table:
    """Turn some rows into rejects, for one reason."""
    if not any(bad):
        return rows
    values = {
        "status": REJECTED,
        "reject_stage": error.stage,
        "reject_type": error.error_type,
        "reject_message": public_text(str(error)),
        "attempts": error.attempts,
    }
    mask = pa.array(list(bad))
    columns = {
        name: pa.compute.if_else(mask, pa.scalar(value, rows.schema.field(name).type), rows[name])
        for name, value in values.items()
    }
    return replace(rows, columns)


def with_traffic(row: Mapping[str, object], moved: Traffic) -> Row:
    """A row with what was moved for it added."""
    return {
        **row,
        "bytes_read": _count(row, "bytes_read") + moved.bytes_read,
        "retries": _count(row, "retries") + moved.retries,
    }


def _count(row: Mapping[str, object], column: str) -> int:
    before = row.get(column)
    return before if isinstance(before, int) else 0


def per_row_seconds(seconds: float, used: Sequence[bool]) -> pa.Array:
    """A batch's time, shared by the rows that took part."""
    share = seconds / max(1, sum(used))
    return pa.array([share if part else 0.0 for part in used], pa.float64())


def _bytes_of(array: npt.NDArray[np.generic]) -> memoryview:
    """The array's memory, not copied: Arrow does that."""
    return np.ascontiguousarray(array).data.cast("B")


def _segment_fields(segment: Segment) -> DecodedRow:
    return {
        "segment_id": segment.segment_id,
        "segment_index": segment.index,
        "segment_count": segment.count,
        "start_s": segment.start_s,
        "duration_s": segment.duration_s,
    }
