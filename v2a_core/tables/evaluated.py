"""The rows that soundtracks are evaluated in: one a segment of a soundtrack, with everything that metrics need."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from v2a_core.media.types import Pcm
from v2a_core.tables.columns import Column
from v2a_core.tables.schema import CATALOG, DOUBLE, INT, STATUS, TEXT

# A sound as it is in its file, on its way: float32, channels interleaved.
SAMPLES = pa.struct([("samples", pa.large_binary()), ("channels", pa.int32()), ("sample_rate_hz", pa.int32())])


# Columns for what is known of both sounds before they are heard; null of one that nobody is to hear.
ABOUT = ("about_made", "about_reference")


def carried_column(extractor: str, about: str) -> str:
    """The column in which rows carry what an extractor found out for a folder of its own.

    Args:
        extractor: Its name.
        about: Of which sound, as in `ABOUT`.
    """
    return f"{about}: {extractor}"


def pack_pcm(pcm: Pcm) -> dict[str, object]:
    """A sound as a value of a column of `SAMPLES`."""
    samples = np.ascontiguousarray(pcm.samples_TC).data.cast("B") if pcm.samples_TC.size else b""
    return {"samples": samples, "channels": pcm.samples_TC.shape[1], "sample_rate_hz": pcm.sample_rate}


def unpack_pcm(column: pa.ChunkedArray) -> list[Pcm | None]:
    """The sounds of a column of `SAMPLES`; None for null."""
    return [
        Pcm(
            np.frombuffer(cell["samples"].as_buffer(), np.float32).reshape(-1, cell["channels"].as_py()),
            cell["sample_rate_hz"].as_py(),
        )
        if cell.is_valid
        else None
        for cell in column
    ]


def evaluated_columns(extracted: Iterable[Column]) -> tuple[Column, ...]:
    """The columns of an evaluated segment.

    What belongs to the original sound is null where there is none; `reference_note` says why.

    Args:
        extracted: What extractors found out about it.
    """
    return (
        Column("segment_id", TEXT, "a segment of a soundtrack", required=True),
        *CATALOG,
        Column("segment_index", INT, "0, 1, ... in the soundtrack", required=True),
        Column("segment_count", INT, "segments of the soundtrack", required=True),
        Column("start_s", DOUBLE, "where the segment begins in the soundtrack; s"),
        Column("duration_s", DOUBLE, "length of the segment; s"),
        Column("audio_path", TEXT, "the soundtrack, relative to the output of `v2a generate`"),
        Column("audio_sha256", TEXT, "of the soundtrack's file, as the index had it"),
        Column("sound_id", TEXT, "the `segment_id` of the sound in the folders of `features/made/`"),
        *extracted,
        Column("reference_note", TEXT, "why there is no original to compare with"),
        *STATUS,
    )


def with_samples(evaluated: pa.Schema, about: pa.StructType) -> pa.Schema:
    """The same rows on the way from reading to embedding, with the samples.

    Args:
        evaluated: As they are written.
        about: Of what is known of each sound before it is heard.
    """
    return pa.schema(
        [
            *evaluated,
            pa.field("condition", pa.list_(pa.float32())),
            pa.field("made", SAMPLES),
            pa.field("reference", SAMPLES),
            *(pa.field(name, about) for name in ABOUT),
            pa.field("reference_known", pa.list_(TEXT)),  # to these extractors
            pa.field("read_s", pa.float64()),
            pa.field("embed_s", pa.float64()),
        ]
    )
