"""The rows of a network's folder: one a sound, with what the network found out about it.

A sound is known by what it is, not by where it lies: by the sha256 of its file (or the version of the video that it is
the sound of) and its span. So a file that two systems share, or that was moved, is heard once.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from v2a_core.media.segments import digest
from v2a_core.tables.columns import Column, schema_of
from v2a_core.tables.evaluated import SAMPLES
from v2a_core.tables.schema import CATALOG, DOUBLE, FLOATS, INT, STATUS, TEXT

# The frames of a video on their way: uint8 RGB, C order.
_FILM = pa.struct(
    [("pixels", pa.large_binary()), ("frames", pa.int32()), ("height", pa.int32()), ("width", pa.int32())]
)

# What is to be heard, a row a sound.
SOUNDS = pa.schema(
    [
        ("sound_id", TEXT),
        ("content", TEXT),  # sha256 of the file, or the id of a video in this version
        ("uri", TEXT),  # of a sound file; null for the sound of a video
        ("source", TEXT),  # of a video, as JSON
        ("name", TEXT),
        ("start_s", DOUBLE),
        ("length_s", DOUBLE),
    ]
)

# The same of sounds with their videos, whose `sound_id` is that of the pair.
PAIRS = pa.schema([*SOUNDS, pa.field("video_id", TEXT)])


def pair_id(sound: str, video: str) -> str:
    """A 32-character id of a sound with a video.

    Args:
        sound: Its `sound_id`.
        video: The `sound_id` of the sound that the video has.
    """
    return digest(sound, video)


def sound_id(content: str, start_s: float, length_s: float) -> str:
    """A 32-character id of a span of a sound: the same wherever it lies.

    Args:
        content: Sha256 of its file, or the id of the video in this version.
        start_s: Where the span begins.
        length_s: Its length; 0 for all of it.
    """
    return digest(content, round(start_s * 1e6), round(length_s * 1e6))


def feature_columns(found: Iterable[Column]) -> tuple[Column, ...]:
    """The columns of a network's folder.

    Args:
        found: What the network finds out.
    """
    return (
        Column("segment_id", TEXT, "the sound: a hash of its content and span", required=True),
        *CATALOG,
        Column("segment_index", INT, "0", required=True),
        Column("segment_count", INT, "1", required=True),
        Column("content", TEXT, "sha256 of the sound's file, or the id of its video in this version", required=True),
        Column("start_s", DOUBLE, "where the sound begins in its file; s"),
        Column("duration_s", DOUBLE, "its length; s"),
        Column("sample_rate_hz", INT, "of the file; Hz"),
        Column("channels", INT, "of the file"),
        Column("silent", pa.bool_(), "it is digitally silent"),
        *found,
        *STATUS,
    )


def carried(found: Iterable[Column]) -> pa.StructType:
    """A row of a folder as a value in a row of another output, on its way: all but the time when it was recorded.

    Args:
        found: What an extractor finds out.
    """
    fields = [field for field in feature_schema(found) if field.name != "recorded_at"]
    return pa.struct([field.with_nullable(True) for field in fields])  # a row may carry none


def feature_schema(found: Iterable[Column]) -> pa.Schema:
    """Their schema."""
    return schema_of(feature_columns(found))


def with_sound(features: pa.Schema) -> pa.Schema:
    """The same rows on the way from reading to the network, with the sound."""
    return pa.schema(
        [*features, pa.field("sound", SAMPLES), pa.field("read_s", pa.float64()), pa.field("extract_s", pa.float64())]
    )


def with_pair(features: pa.Schema) -> pa.Schema:
    """The same rows on the way from reading to the network, with the sound and what was seen of its video."""
    return with_sound(features).append(pa.field("seen", FLOATS))


def with_film(features: pa.Schema) -> pa.Schema:
    """The same rows on the way from reading to the network, with the frames of the video."""
    return pa.schema([_with_film(field) for field in with_sound(features)])


def pack_film(frames_FHWC: npt.NDArray[np.uint8]) -> dict[str, object]:
    """Frames (F, H, W, 3) as a value of the column `film`."""
    frames, height, width, _ = frames_FHWC.shape
    pixels = np.ascontiguousarray(frames_FHWC).data.cast("B")
    return {"pixels": pixels, "frames": frames, "height": height, "width": width}


def unpack_films(column: pa.ChunkedArray) -> list[npt.NDArray[np.uint8] | None]:
    """The frames of a column; None for null."""
    return [
        np.frombuffer(cell["pixels"].as_buffer(), np.uint8).reshape(
            cell["frames"].as_py(), cell["height"].as_py(), cell["width"].as_py(), 3
        )
        if cell.is_valid
        else None
        for cell in column
    ]


def _with_film(field: pa.Field) -> pa.Field:
    return pa.field("film", _FILM) if field.name == "sound" else field
