"""What a comparison of systems says of each clip: two tables beside its metrics."""

from __future__ import annotations

import pyarrow as pa

from v2a_core.tables.columns import Column, schema_of
from v2a_core.tables.schema import DOUBLE, FLOAT, INT, TEXT

SOUNDS_FILE, CLIPS_FILE = "sounds.parquet", "clips.parquet"

SYSTEM_SOUND_COLUMNS = (
    Column("system", TEXT, "its name, or `references`", required=True),
    Column("id", TEXT, "the clip: files of several systems with one id belong together", required=True),
    Column("uri", TEXT, "where the sound lies, or the video that it is the sound of", required=True),
    Column("is_video", pa.bool_(), "whether it is a video", required=True),
    Column("label", TEXT, "of the index that names the files"),
    Column("caption", TEXT, "likewise"),
    Column("prompt", TEXT, "likewise, or of `v2a generate`: words beside the pictures"),
    Column("seed", pa.int64(), "likewise"),
    Column("sha256", TEXT, "of the file; null for a video, and for what could not be had"),
    Column("sample_rate_hz", INT, "of the file; Hz"),
    Column("length_s", DOUBLE, "of the file; s"),
    Column("silent", pa.bool_(), "it is digitally silent"),
    Column("verdict", TEXT, "the class that the judge heard; null without a judge, and for a silent reference"),
    Column("error", TEXT, "why it cannot be heard"),
)
CLIP_COLUMNS = (
    Column("system", TEXT, "its name", required=True),
    Column("id", TEXT, "the clip", required=True),
    Column("metric", TEXT, "as `metrics.json` calls it: one that is a mean over clips", required=True),
    Column("value", FLOAT, "of this clip", required=True),
)
SYSTEM_SOUNDS, CLIPS = schema_of(SYSTEM_SOUND_COLUMNS), schema_of(CLIP_COLUMNS)
