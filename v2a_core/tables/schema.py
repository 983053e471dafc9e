"""Columns and Arrow schemas of the files that jobs hand to each other.

Embeddings: a row a segment, ok or rejected. Index: a row a source, with the soundtrack that was made for it.
"""

from __future__ import annotations

import pyarrow as pa

SCHEMA_VERSION = 5
EMBEDDING_DIM = 512  # of CLAP; of CLIP ViT-B/32 too, other vision encoders have another width

# Inside an output, of the rows of `v2a embed` and `v2a evaluate`, and of `v2a generate`: nothing but Parquet lies
# there, so that other programs read the folder as it is.
ROWS_FOLDER, INDEX_FOLDER = "rows", "index"

# Beside them, of a job that could not fetch or write everything: what the next run tries again.
UNFINISHED_FILE = "unfinished/sources.parquet"

OK = "ok"
REJECTED = "rejected"

_CATALOG_FIELDS = [
    pa.field("source_id", pa.string(), nullable=False),
    pa.field(
        "source_key", pa.string(), nullable=False
    ),  # of the place and span: the same for all versions of its content
    pa.field("source_uri", pa.string(), nullable=False),
    pa.field("source_name", pa.string(), nullable=False),  # path inside the catalog
    pa.field("kind", pa.string(), nullable=False),  # video | image
    pa.field("label", pa.string()),
    pa.field("split", pa.string()),
    pa.field("caption", pa.string()),
]

_STATUS_FIELDS = [
    pa.field("status", pa.string(), nullable=False),  # ok | rejected; the rest is null unless rejected
    pa.field("reject_stage", pa.string()),
    pa.field("reject_type", pa.string()),
    pa.field("reject_message", pa.string()),
    pa.field("attempts", pa.int32()),
    pa.field(
        "recorded_at", pa.timestamp("us", "UTC"), nullable=False
    ),  # when the row was written: the newest version of a source wins
]


def embeddings_schema(vision_dim: int = EMBEDDING_DIM) -> pa.Schema:
    """Embeddings: a row a segment.

    A source that could not be decoded at all is one rejected row with segment_index -1 and segment_count 0.

    Args:
        vision_dim: Numbers in a frame's embedding.
    """
    return pa.schema(
        [
            pa.field("segment_id", pa.string(), nullable=False),
            *_CATALOG_FIELDS,
            pa.field("segment_index", pa.int32(), nullable=False),
            pa.field("segment_count", pa.int32(), nullable=False),  # segments of the whole source
            pa.field("start_s", pa.float64()),
            pa.field("duration_s", pa.float64()),
            pa.field(
                "source_duration_s", pa.float64()
            ),  # of the whole source, or of the span that a table's row asks for
            pa.field("frame_times_s", pa.list_(pa.float32())),  # relative to the source's start
            pa.field("vision_frames", pa.list_(pa.list_(pa.float16(), vision_dim))),  # each frame L2-normalised
            # 512 numbers, L2-normalised; null without audio. Not a fixed-size list: pyarrow cannot read one with nulls.
            pa.field("clap_embedding", pa.list_(pa.float32())),
            pa.field("audio_rms_dbfs", pa.float32()),  # level before CLAP's own normalisation; null without audio
            pa.field("silent", pa.bool_()),  # audio is there, but digitally silent
            pa.field("decoder", pa.string()),
            pa.field("damaged", pa.bool_()),
            pa.field("decoded_share", pa.float32()),  # of the source's declared length and of the segment's frames
            *_STATUS_FIELDS,
        ]
    )


def vision_dim_of(schema: pa.Schema) -> int:
    """Numbers in a frame's embedding, of a file of embeddings."""
    if "vision_frames" not in schema.names:
        return EMBEDDING_DIM
    frames = schema.field("vision_frames").type
    fixed = pa.types.is_list(frames) and pa.types.is_fixed_size_list(frames.value_type)
    return int(frames.value_type.list_size) if fixed else EMBEDDING_DIM


EMBEDDINGS = embeddings_schema()

INDEX = pa.schema(
    [
        *_CATALOG_FIELDS,
        pa.field("duration_s", pa.float64()),  # of the soundtrack
        pa.field("start_s", pa.float64()),  # of the span that a table's row asks for; null for a whole source
        pa.field("segment_ids", pa.list_(pa.string())),
        pa.field("starts_s", pa.list_(pa.float64())),  # of each segment, in the soundtrack
        # What each segment's sound was made from, 512 numbers of CLAP's space, L2-normalised, words mixed in.
        pa.field("conditions", pa.list_(pa.list_(pa.float32(), EMBEDDING_DIM))),
        # Paths of files are relative to the output: it can be moved.
        pa.field("audio_path", pa.string()),
        pa.field("audio_sha256", pa.string()),
        pa.field("video_path", pa.string()),  # null for images and with `mux: none`
        pa.field("video_sha256", pa.string()),
        pa.field("sample_rate_hz", pa.int32()),
        pa.field("true_peak_dbtp", pa.float32()),
        pa.field("loudness_lufs", pa.float32()),
        pa.field("seed", pa.int64()),
        pa.field("prompt", pa.string()),  # what was said beside what was seen
        pa.field("negative_prompt", pa.string()),
        # Null with a single candidate: number of the kept one, and the CLAP similarity of each to the conditions.
        pa.field("candidate", pa.int32()),
        pa.field("candidate_scores", pa.list_(pa.float32())),
        pa.field("loser_paths", pa.list_(pa.string())),
        # Who made the sound; the container's metadata says the same.
        pa.field("ai_generated", pa.bool_()),
        pa.field("program", pa.string()),  # name and version
        pa.field("bundle", pa.string()),
        pa.field("mapper", pa.string()),  # sha256 of its weights, or the name of another way to a condition
        pa.field("condition_texts", pa.list_(pa.string())),  # a text a segment, of systems that go through text
        *_STATUS_FIELDS,
    ]
)

# What could not be fetched or written, a row a source.
UNFINISHED = pa.schema([*_CATALOG_FIELDS[:4], *_STATUS_FIELDS])
