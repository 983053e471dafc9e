"""The rows of sounds that an adapter learns from: one a segment, with what the frozen models make of it."""

from __future__ import annotations

import pyarrow as pa

from v2a_core.tables.columns import Column, schema_of
from v2a_core.tables.schema import CATALOG, CURVE_PARTS, DOUBLE, FLOAT, FLOATS, INT, STATUS, TEXT


def lesson_columns(latent_numbers: int) -> tuple[Column, ...]:
    """The columns.

    Args:
        latent_numbers: Numbers in a latent frame: channels times bins.
    """
    return (
        Column("segment_id", TEXT, "the segment: a hash of place, content and span", required=True),
        *CATALOG,
        Column("segment_index", INT, "0, 1, ... in the source; -1 in the row of a rejected source", required=True),
        Column("segment_count", INT, "segments of the source; 0 in the row of a rejected source", required=True),
        Column("start_s", DOUBLE, "where the segment begins in the source; s"),
        Column("duration_s", DOUBLE, "length of the segment; s"),
        Column("audio_rms_dbfs", FLOAT, "level of the first channel; dB below full scale; null without sound"),
        Column("silent", pa.bool_(), "it is digitally silent, and nothing is learned from it"),
        Column("clap_embedding", FLOATS, "CLAP's embedding, of norm 1; null without sound, as the columns below"),
        Column(
            "latents",
            pa.list_(pa.list_(pa.float16(), latent_numbers)),
            "the mean that the generator's VAE gives, scaled as its UNet takes it: of each frame all channels, and of "
            "each channel all bins",
        ),
        Column(
            "curve",
            pa.list_(pa.list_(pa.float16(), CURVE_PARTS)),
            "level, onset and weight, 0 to 1, 50 times a second",
        ),
        *STATUS,
    )


def lessons_schema(latent_numbers: int) -> pa.Schema:
    """Their schema."""
    return schema_of(lesson_columns(latent_numbers))


def latent_numbers_of(schema: pa.Schema) -> int:
    """Numbers in a latent frame, of a file of lessons."""
    return int(schema.field("latents").type.value_type.list_size)
