"""The rows that soundtracks are evaluated in: one a segment of a soundtrack, with everything that metrics need."""

from __future__ import annotations

import pyarrow as pa

from v2a_core.tables.schema import INDEX

_CATALOG = ("source_id", "source_key", "source_uri", "source_name", "kind", "label", "split", "caption")
_STATUS = ("status", "reject_stage", "reject_type", "reject_message", "attempts", "recorded_at")

# What belongs to the original sound is null where there is none; `reference_note` says why.
EVALUATED = pa.schema(
    [
        pa.field("segment_id", pa.string(), nullable=False),
        *[INDEX.field(name) for name in _CATALOG],
        pa.field("segment_index", pa.int32(), nullable=False),
        pa.field("segment_count", pa.int32(), nullable=False),
        pa.field("start_s", pa.float64()),  # in the soundtrack
        pa.field("duration_s", pa.float64()),
        pa.field("audio_path", pa.string()),  # relative to the soundtracks
        pa.field("audio_sha256", pa.string()),  # of the file that was heard, as the index had it
        pa.field("clap_embedding", pa.list_(pa.float32())),  # 512, L2-normalised
        pa.field("reference_embedding", pa.list_(pa.float32())),
        pa.field("similarity_to_condition", pa.float32()),  # cosines
        pa.field("similarity_to_caption", pa.float32()),
        pa.field("similarity_to_reference", pa.float32()),
        pa.field("judged_class", pa.string()),  # the label, where it is a class that the judge knows
        pa.field("verdict", pa.string()),
        pa.field("verdict_probability", pa.float32()),
        pa.field("reference_verdict", pa.string()),
        pa.field("onsets_s", pa.list_(pa.float32())),  # from the start of the segment
        pa.field("reference_onsets_s", pa.list_(pa.float32())),
        pa.field("pitch_hz", pa.float32()),  # log-spectral centroid
        pa.field("reference_pitch_hz", pa.float32()),
        pa.field("tempo_hz", pa.float32()),  # centre of the modulation spectrum
        pa.field("reference_tempo_hz", pa.float32()),
        pa.field("reference_note", pa.string()),
        *[INDEX.field(name) for name in _STATUS],
    ]
)

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
