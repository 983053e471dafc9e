"""The rows that soundtracks are evaluated in: one a segment of a soundtrack, with everything that metrics need."""

from __future__ import annotations

import pyarrow as pa

from v2a_core.tables.columns import Column, schema_of
from v2a_core.tables.schema import CATALOG, DOUBLE, FLOAT, FLOATS, INT, STATUS, TEXT

# What belongs to the original sound is null where there is none; `reference_note` says why.
EVALUATED_COLUMNS = (
    Column("segment_id", TEXT, "a segment of a soundtrack", required=True),
    *CATALOG,
    Column("segment_index", INT, "0, 1, ... in the soundtrack", required=True),
    Column("segment_count", INT, "segments of the soundtrack", required=True),
    Column("start_s", DOUBLE, "where the segment begins in the soundtrack; s"),
    Column("duration_s", DOUBLE, "length of the segment; s"),
    Column("audio_path", TEXT, "the soundtrack, relative to the output of `v2a generate`"),
    Column("audio_sha256", TEXT, "of the soundtrack's file, as the index had it"),
    Column("clap_embedding", FLOATS, "CLAP's embedding of the made sound, 512 numbers of norm 1"),
    Column("reference_embedding", FLOATS, "the same of the original sound"),
    Column("similarity_to_condition", FLOAT, "of the made sound to what it was made from; cosine in CLAP's space"),
    Column("similarity_to_caption", FLOAT, "to the catalog's caption; cosine"),
    Column("similarity_to_reference", FLOAT, "to the original sound; cosine"),
    Column("judged_class", TEXT, "the label, where it is a class that the judge knows"),
    Column("verdict", TEXT, "the class that the judge heard in the made sound"),
    Column("verdict_probability", FLOAT, "how sure it is; 0 to 1"),
    Column("reference_verdict", TEXT, "the class that it heard in the original"),
    Column("onsets_s", FLOATS, "when something begins to sound, from the start of the segment; s"),
    Column("reference_onsets_s", FLOATS, "the same of the original"),
    Column("pitch_hz", FLOAT, "how high the sound is: its spectral centroid on a logarithmic axis; Hz"),
    Column("reference_pitch_hz", FLOAT, "the same of the original"),
    Column("tempo_hz", FLOAT, "how fast it changes: centre of its modulation spectrum; Hz"),
    Column("reference_tempo_hz", FLOAT, "the same of the original"),
    Column("reference_note", TEXT, "why there is no original to compare with"),
    *STATUS,
)
EVALUATED = schema_of(EVALUATED_COLUMNS)

# On the way from reading to embedding, with the samples.
READ = pa.schema(
    [
        *EVALUATED,
        pa.field("condition", pa.list_(pa.float32())),
        pa.field("made", pa.large_binary()),  # float32, as the audio encoder takes it
        pa.field("reference", pa.large_binary()),
        pa.field("read_s", pa.float64()),
        pa.field("embed_s", pa.float64()),
    ]
)
