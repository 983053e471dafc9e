"""Segments arrive in any order; a soundtrack needs all those of its source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypedDict

import numpy as np
import pyarrow as pa

from v2a_core.media.types import TRANSIENT_STAGES
from v2a_core.protocols import Floats
from v2a_core.tables import arrays, rows
from v2a_core.tables.rows import Row
from v2a_core.tables.schema import EMBEDDING_DIM, INDEX, OK

SOUNDTRACKS = pa.schema(
    [
        *INDEX,
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
        for row, condition in zip(batch.select(names).to_pylist(), conditions, strict=True):
            source = row["source_id"]
            if source in self._given:
                continue
            segments = self._waiting.setdefault(source, {})
            segments[row["segment_id"]] = row | {"condition": condition}
            if len(segments) >= row["segment_count"]:
                self._given.add(source)
                whole.append(_soundtrack(list(self._waiting.pop(source).values())))
        return _table(whole)


def _soundtrack(segments: list[_MappedRow]) -> tuple[Row, Floats | None]:
    """The row of a source whose segments are all there, and the conditions of the segments, float32 (segments, D)."""
    segments = sorted(segments, key=lambda row: row["segment_index"])
    good = [row for row in segments if row["condition"] is not None and row["status"] == OK]
    first = segments[0]
    row = _columns(first, _KEPT) | {name: sum(_numbers(segments, name)) for name in _SUMMED}
    waiting = next((row for row in segments if row["reject_stage"] in TRANSIENT_STAGES), None)
    if waiting is not None:
        return row | _columns(waiting, _REASON), None
    if not good:
        return row | _columns(first, _REASON), None
    # A segment that could not be seen sounds like its nearest good neighbour: one broken stretch costs no soundtrack.
    nearest = [min(good, key=lambda row: abs(row["segment_index"] - index)) for index in range(len(segments))]
    row |= {
        "status": OK,
        "duration_s": good[0]["source_duration_s"],
        "segment_ids": [segment["segment_id"] for segment in segments],
        "condition_texts": [segment["condition_text"] for segment in nearest] if good[0]["condition_text"] else None,
        "starts_s": [segment["start_s"] - first["start_s"] for segment in segments],
    }
    return row, np.stack([segment["condition"] for segment in nearest if segment["condition"] is not None])


def _columns(row: Mapping[str, object], names: Sequence[str]) -> Row:
    return {name: row[name] for name in names}


def _numbers(rows: Sequence[Mapping[str, object]], name: str) -> Iterator[float]:
    """The values of a column, without nulls."""
    return (value for row in rows if isinstance(value := row[name], (int, float)))


def _table(soundtracks: list[tuple[Row, Floats | None]]) -> pa.Table:
    conditions = [conditions for _, conditions in soundtracks]
    table = pa.Table.from_pylist([row for row, _ in soundtracks], schema=SOUNDTRACKS)
    return rows.replace(table, {"conditions": arrays.vector_lists(conditions, EMBEDDING_DIM, np.float32)})
