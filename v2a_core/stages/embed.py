"""Frames and sounds of a batch of segments become embeddings."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from v2a_core.media.resample import encoder_waveform
from v2a_core.media.types import MediaError, MediaSpec
from v2a_core.protocols import AudioEncoder, VisionEncoder
from v2a_core.tables import arrays, rows
from v2a_core.tables.beside import FRAMES, TIMED
from v2a_core.tables.schema import EMBEDDING_DIM

_NOT_FINITE = MediaError("vision", "NonFinite", "the vision embedding is not finite")


def embed_frames(batch: pa.Table, encoder: VisionEncoder, image_size: int, timing: bool = False) -> pa.Table:
    """Fill `vision_frames`, drop the pixels. Frames of all segments share the encoder's batches.

    Args:
        batch: Rows of `rows.TRANSIT`.
        encoder: What sees.
        image_size: Of the frames, pixels.
        timing: Whether `timing_frames` is filled, too: from the denser frames, as far as a row has them.
    """
    started = time.monotonic()
    frames = rows.read_frames(batch, image_size)
    embedded = _embedded(frames, encoder)
    bad = [item is not None and not np.isfinite(item).all() for item in embedded]
    columns: dict[str, pa.Array] = {}
    if timing:
        denser = _embedded(rows.read_frames(batch, image_size, "timing_pixels"), encoder)
        bad = [
            is_bad or (item is not None and not np.isfinite(item).all())
            for is_bad, item in zip(bad, denser, strict=True)
        ]
        denser = [None if is_bad else item for item, is_bad in zip(denser, bad, strict=True)]
        columns["timing_frames"] = arrays.vector_lists(denser, encoder.dim, np.float16)
    embedded = [None if is_bad else item for item, is_bad in zip(embedded, bad, strict=True)]
    columns |= {
        "vision_frames": arrays.vector_lists(embedded, encoder.dim, np.float16),
        "vision_s": rows.per_row_seconds(time.monotonic() - started, [item is not None for item in frames]),
    }
    batch = rows.replace(batch, columns, drop=["frames", "timing_pixels"] if timing else ["frames"])
    return rows.reject_where(batch, bad, _NOT_FINITE)


def embed_timed(batch: pa.Table, encoder: VisionEncoder, image_size: int) -> pa.Table:
    """Fill `timing_frames` alone, for what needs the pixels of the other frames itself."""
    started = time.monotonic()
    frames = rows.read_frames(batch, image_size, "timing_pixels")
    embedded = _embedded(frames, encoder)
    bad = [item is not None and not np.isfinite(item).all() for item in embedded]
    embedded = [None if is_bad else item for item, is_bad in zip(embedded, bad, strict=True)]
    columns = {
        "timing_frames": arrays.vector_lists(embedded, encoder.dim, np.float16),
        "vision_s": rows.per_row_seconds(time.monotonic() - started, [item is not None for item in frames]),
    }
    return rows.replace(batch, columns, drop=["timing_pixels"])


def embed_beside(batch: pa.Table, encoder: VisionEncoder, image_size: int, groups: Collection[str]) -> pa.Table:
    """Fill what a sidecar adds, of its groups of columns; drop pixels and samples.

    Args:
        batch: Rows of `rows.TRANSIT`.
        encoder: What sees.
        image_size: Of the frames, pixels.
        groups: As `beside.GROUPS` has them.
    """
    if FRAMES in groups:
        return embed_frames(batch, encoder, image_size, TIMED in groups).drop_columns(["waveform"])
    batch = embed_timed(batch, encoder, image_size).drop_columns(["frames", "waveform"])
    lost = pc.and_(pc.is_valid(batch["timing_times_s"]), pc.is_null(batch["timing_frames"]))
    return rows.reject_where(batch, lost.to_pylist(), _NOT_FINITE)


def _embedded(
    frames: Sequence[npt.NDArray[np.uint8] | None], encoder: VisionEncoder
) -> list[npt.NDArray[np.float32] | None]:
    """The embeddings of each row's frames, (n, D); None for those without."""
    present = [item for item in frames if item is not None]
    flat = encoder.encode(np.concatenate(present)) if present else np.zeros((0, encoder.dim), np.float32)
    pieces = iter(np.split(flat, np.cumsum([len(item) for item in present])[:-1])) if present else iter(())
    return [None if item is None else next(pieces) for item in frames]


def embed_audio(batch: pa.Table, encoder: AudioEncoder, spec: MediaSpec) -> pa.Table:
    """Fill `clap_embedding`, drop the samples. Rows without audio, or with digital silence, keep null.

    Args:
        batch: Rows of `rows.TRANSIT`, with levelled sound (`resample.level_waveform`).
        encoder: What hears.
        spec: What it wants to hear.
    """
    started = time.monotonic()
    silent = [bool(value) for value in batch["silent"].to_pylist()]
    waveforms = [None if quiet else item for item, quiet in zip(rows.read_waveforms(batch), silent, strict=True)]
    present = [encoder_waveform(item, spec) for item in waveforms if item is not None]
    embedded = iter(encoder.encode(np.stack(present)) if present else ())
    vectors = [None if item is None else next(embedded) for item in waveforms]
    bad = [item is not None and not np.isfinite(item).all() for item in vectors]
    vectors = [None if is_bad else item for item, is_bad in zip(vectors, bad, strict=True)]
    columns = {
        "clap_embedding": arrays.vectors(vectors, EMBEDDING_DIM),
        "audio_s": rows.per_row_seconds(time.monotonic() - started, [item is not None for item in waveforms]),
    }
    batch = rows.replace(batch, columns, drop=["waveform"])
    return rows.reject_where(batch, bad, MediaError("audio", "NonFinite", "the audio embedding is not finite"))
