"""Columns and Arrow schemas of the files that jobs hand to each other.

Embeddings: a row a segment, ok or rejected. Index: a row a source, with the soundtrack that was made for it.
`docs/columns.md` is made from here.
"""

from __future__ import annotations

import pyarrow as pa

from v2a_core.tables.columns import Column, schema_of

SCHEMA_VERSION = 5
EMBEDDING_DIM = 512  # of CLAP; of CLIP ViT-B/32 too, other vision encoders have another width

# Inside an output, of the rows of `v2a embed` and `v2a evaluate`, and of `v2a generate`: nothing but Parquet lies
# there, so that other programs read the folder as it is.
ROWS_FOLDER, INDEX_FOLDER = "rows", "index"

# Beside them, of a job that could not fetch or write everything: what the next run tries again.
UNFINISHED_FILE = "unfinished/sources.parquet"

OK = "ok"
REJECTED = "rejected"

TEXT, FLOAT, DOUBLE, INT = pa.string(), pa.float32(), pa.float64(), pa.int32()
# Not a fixed-size list where a value may be null: pyarrow cannot read one with nulls.
FLOATS = pa.list_(FLOAT)

SOURCE = (
    Column("source_id", TEXT, "the source in this version of its content", required=True),
    Column("source_key", TEXT, "the place (URI and span): the same for all versions of its content", required=True),
    Column(
        "source_uri",
        TEXT,
        "where the source is: absolute path or URI, without passwords and signatures; `<shard>#<member>` inside a tar "
        "shard",
        required=True,
    ),
    Column("source_name", TEXT, "path inside the catalog", required=True),
)

CATALOG = (
    *SOURCE,
    Column("kind", TEXT, "`video` or `image`", required=True),
    Column("label", TEXT, "from the catalog: its class"),
    Column("split", TEXT, "from the catalog: `train`, `validation`, `test`, or any other word"),
    Column("caption", TEXT, "from the catalog"),
)

# The newest version of a source, by `recorded_at`, is the one that counts.
STATUS = (
    Column("status", TEXT, "`ok` or `rejected`", required=True),
    Column("reject_stage", TEXT, "where it failed, such as `list`, `probe`, `decode`; null unless rejected"),
    Column("reject_type", TEXT, "kind of the error, such as `InvalidDataError` or `TimeLimit`"),
    Column("reject_message", TEXT, "what was wrong, for a person"),
    Column("attempts", INT, "how often it was tried"),
    Column("recorded_at", pa.timestamp("us", "UTC"), "when the row was written; UTC", required=True),
)

_SEGMENT = (
    Column(
        "segment_index",
        INT,
        "0, 1, ... in the source; -1 in the row of a source that was rejected as a whole",
        required=True,
    ),
    Column(
        "segment_count",
        INT,
        "segments of the whole source; 0 in the row of a source that was rejected as a whole",
        required=True,
    ),
    Column("start_s", DOUBLE, "where the segment begins in the source; s"),
    Column("duration_s", DOUBLE, "length of the segment; s"),
    Column("source_duration_s", DOUBLE, "length of the source, or of the span that a table's row asks for; s"),
)


def timing_columns(vision_dim: int = EMBEDDING_DIM) -> tuple[Column, ...]:
    """The columns of the denser frames, which embeddings have with `frames.timing_fps`.

    Args:
        vision_dim: Numbers in a frame's embedding.
    """
    only = "with `frames.timing_fps`: "
    return (
        Column(
            "timing_times_s", FLOATS, f"{only}when each of the denser frames is shown, from the start of the source; s"
        ),
        Column(
            "timing_motion",
            FLOATS,
            f"{only}how much each of them differs from the one before: the mean difference of their grey levels in 32 "
            "x 32 fields, as a share of white; 0 to 1",
        ),
        Column(
            "timing_frames",
            pa.list_(pa.list_(pa.float16(), vision_dim)),
            f"{only}the embedding of each of them, as in `vision_frames`",
        ),
        Column(
            "timing_level",
            FLOATS,
            f"{only}how loud the sound is, 50 times a second: the mu-law of its amplitude as a share of that of the "
            "segment's loudest moment, 0 to 1; null without sound",
        ),
        Column(
            "timing_onsets_s",
            FLOATS,
            f"{only}when something begins to sound, from the start of the segment; s; null without sound",
        ),
    )


def embedding_columns(vision_dim: int = EMBEDDING_DIM, timing: bool = False) -> tuple[Column, ...]:
    """The columns of embeddings.

    Args:
        vision_dim: Numbers in a frame's embedding.
        timing: Whether there are denser frames.
    """
    return (
        Column(
            "segment_id",
            TEXT,
            "the segment: a hash of place, content, span and sampling; the same on every run and machine",
            required=True,
        ),
        *CATALOG,
        *_SEGMENT,
        Column("frame_times_s", FLOATS, "when each frame is shown, from the start of the source; s"),
        Column(
            "vision_frames",
            pa.list_(pa.list_(pa.float16(), vision_dim)),
            "the vision encoder's embedding of each frame, n x 512 for ViT-B/32 (other encoders have another width), "
            "each of norm 1",
        ),
        Column("clap_embedding", FLOATS, "CLAP's embedding of the sound, 512 numbers of norm 1; null without sound"),
        Column(
            "audio_rms_dbfs",
            FLOAT,
            "level of the sound as it is in the file; dB below full scale; null without sound",
        ),
        Column("silent", pa.bool_(), "there is a sound track, and it is digitally silent"),
        Column("decoder", TEXT, "what decoded the frames: `decord`, `pyav`, `pyav-fast` or `pillow`"),
        Column("damaged", pa.bool_(), "packets failed to decode, frames are missing, or the stream ended early"),
        Column(
            "decoded_share",
            FLOAT,
            "what could be decoded of the source's declared length, times the share of the segment's frames; 0 to 1",
        ),
        *(timing_columns(vision_dim) if timing else ()),
        *STATUS,
    )


def embeddings_schema(vision_dim: int = EMBEDDING_DIM, timing: bool = False) -> pa.Schema:
    """Embeddings: a row a segment.

    A source that could not be decoded at all is one rejected row with segment_index -1 and segment_count 0.

    Args:
        vision_dim: Numbers in a frame's embedding.
        timing: Whether there are denser frames.
    """
    return schema_of(embedding_columns(vision_dim, timing))


def vision_dim_of(schema: pa.Schema) -> int:
    """Numbers in a frame's embedding, of a file of embeddings."""
    seen = [name for name in ("vision_frames", "timing_frames") if name in schema.names]
    if not seen:
        return EMBEDDING_DIM
    frames = schema.field(seen[0]).type
    fixed = pa.types.is_list(frames) and pa.types.is_fixed_size_list(frames.value_type)
    return int(frames.value_type.list_size) if fixed else EMBEDDING_DIM


EMBEDDINGS = embeddings_schema()

_SOUNDTRACK = (
    Column("duration_s", DOUBLE, "length of the soundtrack; s"),
    Column(
        "start_s",
        DOUBLE,
        "where the span that a table's row asks for begins in the video; s; null for a whole source",
    ),
    Column("segment_ids", pa.list_(TEXT), "segments that the soundtrack was made of"),
    Column("starts_s", pa.list_(DOUBLE), "where each of them begins in the soundtrack; s"),
    Column(
        "conditions",
        pa.list_(pa.list_(FLOAT, EMBEDDING_DIM)),
        "what each segment's sound was made from: 512 numbers of CLAP's space, of norm 1, words mixed in",
    ),
    Column("audio_path", TEXT, "the soundtrack, relative to the output"),
    Column("audio_sha256", TEXT, "sha256 of that file"),
    Column(
        "video_path",
        TEXT,
        "the copy of the video with the soundtrack, relative to the output; null for images and with `finish.mux=none`",
    ),
    Column("video_sha256", TEXT, "sha256 of that file"),
    Column("sample_rate_hz", INT, "of the soundtrack; Hz"),
    Column("true_peak_dbtp", FLOAT, "highest level between the samples, too; dBTP"),
    Column("loudness_lufs", FLOAT, "integrated loudness (EBU R128); LUFS"),
)

# What was asked for, and what made it; the metadata of the files say the latter, too.
_MAKING = (
    Column("seed", pa.int64(), "of the run; a segment's noise comes from it and from `segment_id`"),
    Column("prompt", TEXT, "words beside the pictures: what shall be heard"),
    Column("negative_prompt", TEXT, "what shall not be heard"),
    Column("candidate", INT, "number of the candidate that was kept; null with a single one"),
    Column(
        "candidate_scores",
        FLOATS,
        "CLAP similarity of each candidate to the conditions; cosine; with `candidates.timing_weight`, as many times "
        "the correlation of its level with the curve is added",
    ),
    Column("loser_paths", pa.list_(TEXT), "candidates that were not kept, relative to the output"),
    Column("ai_generated", pa.bool_(), "true; the metadata of the files say the same"),
    Column("program", TEXT, "name and version of what made it"),
    Column("bundle", TEXT, "name of the models"),
    Column(
        "mapper",
        TEXT,
        "sha256 of the mapper's weights, or the name of another way to a condition: `none`, `text:caption`, ...",
    ),
    Column("condition_texts", pa.list_(TEXT), "the text of each segment, with `--via-text`"),
)

CURVE_PARTS = 3  # level, onset, weight
_CURVE = Column(
    "curve",
    pa.list_(pa.list_(pa.float16(), CURVE_PARTS)),
    "with `--timing`: the curve that was predicted, and followed: level, onset and weight (how sure it is), 0 to 1, 50 "
    "times a second",
)


def index_columns(timing: bool = False) -> tuple[Column, ...]:
    """The columns of the index.

    Args:
        timing: Whether curves were predicted.
    """
    return (*CATALOG, *_SOUNDTRACK, *_MAKING, *((_CURVE,) if timing else ()), *STATUS)


def index_schema(timing: bool = False) -> pa.Schema:
    """The index: a row a source; see `index_columns`."""
    return schema_of(index_columns(timing))


INDEX_COLUMNS = index_columns()
INDEX = schema_of(INDEX_COLUMNS)

# What could not be fetched or written, a row a source.
UNFINISHED_COLUMNS = (*SOURCE, *STATUS)
UNFINISHED = schema_of(UNFINISHED_COLUMNS)
