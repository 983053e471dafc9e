"""Segments arrive in any order; a soundtrack needs all those of its source."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypedDict

import numpy as np
import pyarrow as pa

from v2a_core.media.types import TRANSIENT_STAGES
from v2a_core.protocols import CURVE_HZ, Floats
from v2a_core.tables import arrays, rows
from v2a_core.tables.arrays import Array
from v2a_core.tables.rows import Row
from v2a_core.tables.schema import CURVE_PARTS, EMBEDDING_DIM, OK, index_schema

_TRAVELLING = pa.schema(
    [
        pa.field("source", pa.string()),
        pa.field("waveform", pa.large_binary()),  # float32 (samples,)
        pa.field("losers", pa.list_(pa.large_binary())),  # the same, of the other candidates
        pa.field("decode_s", pa.float64()),
        pa.field("vision_s", pa.float64()),
        pa.field("map_s", pa.float64()),
        pa.field("generate_s", pa.float64()),
        pa.field("unet_s", pa.float64()),  # of generate_s
        pa.field("vae_s", pa.float64()),
        pa.field("vocoder_s", pa.float64()),
        pa.field("finish_s", pa.float64()),
        *rows.TRAFFIC,
    ]
)


def soundtracks_schema(timing: bool = False) -> pa.Schema:
    """Soundtracks on their way: the index with what only travels.

    Args:
        timing: Whether each has a curve.
    """
    return pa.schema([*index_schema(timing), *_TRAVELLING])


SOUNDTRACKS = soundtracks_schema()

_KEPT = ("source_id", "source_key", "source_uri", "source_name", "kind", "label", "split", "caption", "source")
_REASON = ("status", "reject_stage", "reject_type", "reject_message", "attempts")
_SUMMED = ("decode_s", "vision_s", "map_s", "bytes_read", "retries")


class _MappedRow(TypedDict):
    """What is kept of a mapped segment, beside the columns of `_KEPT`, `_REASON` and `_SUMMED`."""

    segment_id: str
    segment_index: int
    segment_count: int
    start_s: float
    source_duration_s: float
    condition_text: str | None
    condition: Floats | None
    curve: Array | None
    status: str
    reject_stage: str | None


class SourceGatherer:
    """Collects the mapped segments of each source and gives a source on when it is whole.

    What waits here is small: a condition of 512 numbers a segment, no pixels. Ray may deliver a segment again, also
    after its source has been given on: it counts once.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, dict[str, _MappedRow]] = {}
        self._given: set[str] = set()

    def add(self, batch: pa.Table) -> pa.Table:
        """Take mapped segments; returns the sources that are now whole, a row each."""
        conditions = arrays.read_vectors(batch["condition"])
        is_timed = "curve" in batch.column_names
        curves = arrays.read_vector_lists(batch["curve"]) if is_timed else [None] * batch.num_rows
        names = [
            *_KEPT,
            *_REASON,
            *_SUMMED,
            "segment_id",
            "segment_index",
            "segment_count",
            "start_s",
            "duration_s",
            "source_duration_s",
            "condition_text",
        ]
        whole = []
        for row, condition, curve in zip(batch.select(names).to_pylist(), conditions, curves, strict=True):
            source = row["source_id"]
            if source in self._given:
                continue
            segments = self._waiting.setdefault(source, {})
            segments[row["segment_id"]] = row | {"condition": condition, "curve": curve}
            if len(segments) >= row["segment_count"]:
                self._given.add(source)
                whole.append(_soundtrack(list(self._waiting.pop(source).values())))
        return _table(whole, is_timed)


class _Soundtrack(NamedTuple):
    """A source whose segments are all there.

    Attributes:
        row: Its row.
        conditions_ND: One a segment, float32.
        curve_FP: Its curve, float16 (F, 3), as `predict.pack` has it.
    """

    row: Row
    conditions_ND: Floats | None = None
    curve_FP: Array | None = None


def _soundtrack(segments: list[_MappedRow]) -> _Soundtrack:
    """The row of a source whose segments are all there, with their conditions and the curve that theirs make."""
    segments = sorted(segments, key=lambda row: row["segment_index"])
    good = [row for row in segments if row["condition"] is not None and row["status"] == OK]
    first = segments[0]
    row = _columns(first, _KEPT) | {name: sum(_numbers(segments, name)) for name in _SUMMED}
    waiting = next((row for row in segments if row["reject_stage"] in TRANSIENT_STAGES), None)
    if waiting is not None:
        return _Soundtrack(row | _columns(waiting, _REASON))
    if not good:
        return _Soundtrack(row | _columns(first, _REASON))
    # A segment that could not be seen sounds like its nearest good neighbour: one broken stretch costs no soundtrack.
    nearest = [min(good, key=lambda row: abs(row["segment_index"] - index)) for index in range(len(segments))]
    row |= {
        "status": OK,
        "duration_s": good[0]["source_duration_s"],
        "segment_ids": [segment["segment_id"] for segment in segments],
        "condition_texts": [segment["condition_text"] for segment in nearest] if good[0]["condition_text"] else None,
        "starts_s": [segment["start_s"] - first["start_s"] for segment in segments],
    }
    conditions_ND = np.stack([segment["condition"] for segment in nearest if segment["condition"] is not None])
    return _Soundtrack(row, conditions_ND, _curve(segments, good[0]["source_duration_s"]))


def _curve(segments: Sequence[_MappedRow], length_s: float) -> Array | None:
    """The curves of segments behind each other; where there is none, the sound is free."""
    if all(segment["curve"] is None for segment in segments):
        return None
    curve_FP = np.zeros((math.ceil(length_s * CURVE_HZ - 1e-6), CURVE_PARTS), np.float16)
    for segment in segments:
        if segment["curve"] is not None:
            place = round((segment["start_s"] - segments[0]["start_s"]) * CURVE_HZ)
            part_FP = curve_FP[place : place + len(segment["curve"])]
            part_FP[:] = segment["curve"][: len(part_FP)]
    return curve_FP


def _columns(row: Mapping[str, object], names: Sequence[str]) -> Row:
    return {name: row[name] for name in names}


def _numbers(rows: Sequence[Mapping[str, object]], name: str) -> Iterator[float]:
    """The values of a column, without nulls."""
    return (value for row in rows if isinstance(value := row[name], (int, float)))


def _table(soundtracks: list[_Soundtrack], is_timed: bool) -> pa.Table:
    conditions = [item.conditions_ND for item in soundtracks]
    table = pa.Table.from_pylist([item.row for item in soundtracks], schema=soundtracks_schema(is_timed))
    columns = {"conditions": arrays.vector_lists(conditions, EMBEDDING_DIM, np.float32)}
    if is_timed:
        curves = [item.curve_FP for item in soundtracks]
        columns["curve"] = arrays.vector_lists(curves, CURVE_PARTS, np.float16)
    return rows.replace(table, columns)
