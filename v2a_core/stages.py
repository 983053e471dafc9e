"""What each model stage does to a batch of rows: a table in, a table out, no knowledge of what runs it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from v2a_core import arrays, rows
from v2a_core.media.types import MediaError
from v2a_core.schema import EMBEDDING_DIM, OK
from v2a_core.seeds import segment_seed

Floats = npt.NDArray[np.float32]


class FrameEncoder(Protocol):
    """Frames to embeddings of `dim` numbers."""

    dim: int

    def encode(self, frames_NHWC: npt.NDArray[np.uint8]) -> Floats:
        """L2-normalised float32 (N, dim)."""


class WaveformEncoder(Protocol):
    """Waveforms to embeddings."""

    def encode(self, waveforms_BT: Floats) -> Floats:
        """L2-normalised float32 (B, 512)."""


class ConditionMapper(Protocol):
    """What was seen to what shall be heard."""

    def map(self, clip_frames: Sequence[npt.NDArray[Any]], seeds: Sequence[int]) -> Floats:
        """L2-normalised float32 (B, 512)."""


def embed_frames(batch: pa.Table, encoder: FrameEncoder, image_size: int) -> pa.Table:
    """Fill `clip_frames`, drop the pixels. Frames of all segments share the encoder's batches."""
    started = time.monotonic()
    frames = rows.read_frames(batch, image_size)
    present = [item for item in frames if item is not None]
    flat = encoder.encode(np.concatenate(present)) if present else np.zeros((0, encoder.dim), np.float32)
    pieces = iter(np.split(flat, np.cumsum([len(item) for item in present])[:-1])) if present else iter(())
    embedded = [None if item is None else next(pieces) for item in frames]
    bad = [item is not None and not np.isfinite(item).all() for item in embedded]
    embedded = [None if is_bad else item for item, is_bad in zip(embedded, bad, strict=True)]
    columns = {
        "clip_frames": arrays.vector_lists(embedded, encoder.dim, np.float16),
        "clip_s": rows.per_row_seconds(time.monotonic() - started, [item is not None for item in frames]),
    }
    batch = rows.replace(batch, columns, drop=["frames"])
    return rows.reject_where(batch, bad, MediaError("clip", "NonFinite", "the vision embedding is not finite"))


def embed_audio(batch: pa.Table, encoder: WaveformEncoder) -> pa.Table:
    """Fill `clap_embedding`, drop the samples. Rows without audio, or with digital silence, keep null."""
    started = time.monotonic()
    silent = [bool(value) for value in batch["silent"].to_pylist()]
    waveforms = [None if quiet else item for item, quiet in zip(rows.read_waveforms(batch), silent, strict=True)]
    present = [item for item in waveforms if item is not None]
    embedded = iter(encoder.encode(np.stack(present)) if present else ())
    vectors = [None if item is None else next(embedded) for item in waveforms]
    bad = [item is not None and not np.isfinite(item).all() for item in vectors]
    vectors = [None if is_bad else item for item, is_bad in zip(vectors, bad, strict=True)]
    columns = {
        "clap_embedding": arrays.vectors(vectors, EMBEDDING_DIM),
        "clap_s": rows.per_row_seconds(time.monotonic() - started, [item is not None for item in waveforms]),
    }
    batch = rows.replace(batch, columns, drop=["waveform"])
    return rows.reject_where(batch, bad, MediaError("clap", "NonFinite", "the audio embedding is not finite"))


def map_conditions(batch: pa.Table, mapper: ConditionMapper, run_seed: int) -> pa.Table:
    """Add `condition`, the mapped sound embedding, drop the frame embeddings."""
    started = time.monotonic()
    frames = arrays.read_vector_lists(batch["clip_frames"])
    ok = [item is not None and status == OK for item, status in zip(frames, batch["status"].to_pylist(), strict=True)]
    ids = batch["segment_id"].to_pylist()
    seeds = [segment_seed(run_seed, identity, "mapper") for identity, use in zip(ids, ok, strict=True) if use]
    used = [item for item, use in zip(frames, ok, strict=True) if use and item is not None]
    mapped = iter(mapper.map(used, seeds) if used else ())
    conditions = [next(mapped) if use else None for use in ok]
    bad = [item is not None and not np.isfinite(item).all() for item in conditions]
    conditions = [None if is_bad else item for item, is_bad in zip(conditions, bad, strict=True)]
    columns = {
        "condition": arrays.vectors(conditions, EMBEDDING_DIM),
        "map_s": rows.per_row_seconds(time.monotonic() - started, ok),
    }
    batch = rows.replace(batch, columns, drop=["clip_frames"])
    return rows.reject_where(batch, bad, MediaError("map", "NonFinite", "the mapped embedding is not finite"))
