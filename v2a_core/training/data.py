"""Embeddings from Parquet to tensors in memory.

Shapes: N pairs, F frames of all of them, E width of an embedding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor

from v2a_core import manifest, storage
from v2a_core.config import ConfigError
from v2a_core.training.config import DataSettings
from v2a_core.training.selection import LEFT_OUT, SPLIT_NAMES, TRAIN, VALIDATION, Selection

ROWS_AT_ONCE = 4096


@dataclass
class Pairs:
    """The pairs of one split, on one device.

    Attributes:
        target_NE: Audio embeddings, L2-normalised float32.
        condition_NE: Aggregated visual embeddings, L2-normalised float32; of the current epoch.
        frames_FE: Every frame, float16, when a new one is drawn each epoch; else None.
        offsets_N: Row i's frames are `offsets_N[i]` up to `offsets_N[i + 1]`, int64 (N + 1,).
    """

    target_NE: Tensor
    condition_NE: Tensor
    frames_FE: Tensor | None = None
    offsets_N: Tensor | None = None

    def __len__(self) -> int:
        return len(self.target_NE)

    def begin_epoch(self, seed: int, epoch: int) -> None:
        """Draw each row's frame anew, by (seed, epoch); does nothing for the other aggregators."""
        if self.frames_FE is None or self.offsets_N is None:
            return
        random = torch.from_numpy(np.random.default_rng([seed, epoch]).random(len(self))).to(self.offsets_N.device)
        counts = self.offsets_N.diff()
        # Rounding can reach the count itself for a number next to one.
        pick = self.offsets_N[:-1] + torch.minimum((random * counts).long(), counts - 1)
        self.condition_NE = torch.nn.functional.normalize(self.frames_FE[pick].float(), dim=-1)


@dataclass(frozen=True)
class TrainingData:
    """What a run learns from and is judged by.

    Attributes:
        train, validation: The pairs.
        left_out: Rows left out, by reason.
        counts: Usable rows by split.
    """

    train: Pairs
    validation: Pairs
    left_out: dict[str, int]
    counts: dict[str, int]


def read_manifest(embeddings: str, settings: DataSettings) -> dict[str, Any]:
    """The manifest of the embeddings, checked.

    Raises:
        ConfigError: Without a manifest, of another job or schema, without spaces, or of a job that has not finished.
    """
    made_by = manifest.read(embeddings, job="embed")
    spaces = made_by.get("spaces") or {}
    if not spaces.get("vision") or not spaces.get("audio"):
        raise ConfigError(f"{embeddings}: the manifest names no vision and audio space; embed again with this program")
    if made_by.get("status") != "done" and not settings.allow_unfinished:
        raise ConfigError(
            f"{embeddings} is not finished (status {made_by.get('status')!r}): run the same `v2a embed` again to "
            "complete it, or train on what is there with --set data.allow_unfinished=true"
        )
    return made_by


def load(
    selection: Selection,
    spaces: dict[str, str],
    aggregator: str,
    embedding_dim: int,
    *,
    device: str = "cpu",
) -> TrainingData:
    """Read the pairs of the training and validation split.

    Args:
        selection: Which rows.
        spaces: The manifest's spaces; every file must be of them.
        aggregator: `average` and `middle` are computed here, once; for `random` all frames are kept.
        embedding_dim: E.
        device: Where the tensors go.

    Raises:
        ConfigError: On files of several spaces, embeddings of another width, or too few usable pairs.
    """
    splits = {TRAIN: _Columns(), VALIDATION: _Columns()}
    codes_seen: list[npt.NDArray[np.int8]] = []
    left_out = {**selection.left_out, "no embedding": 0, "not finite": 0}
    for table, codes in _batches(selection, spaces):
        chunk, complete, finite = _read_chunk(table, embedding_dim)
        codes = codes[complete]
        codes_seen.append(codes[finite])
        left_out["no embedding"] += int((~complete).sum())
        left_out["not finite"] += int((~finite).sum())
        for code, columns in splits.items():
            columns.add(chunk, finite & (codes == code), aggregator)
    seen = np.concatenate(codes_seen) if codes_seen else np.zeros(0, np.int8)
    counts = {name: int((seen == code).sum()) for name, code in SPLIT_NAMES.items()}
    for name, code in (("train", TRAIN), ("validation", VALIDATION)):
        if not counts[name]:
            raise ConfigError(f"no usable pair is left for {name}; left out: {left_out}")
        splits[code].device = device
    return TrainingData(splits[TRAIN].pairs(), splits[VALIDATION].pairs(), left_out, counts)


@dataclass(frozen=True)
class _Chunk:
    """Rows as arrays: frames (F, E) float16, offsets (rows + 1,), targets (rows, E) float32."""

    frames: npt.NDArray[np.float16]
    offsets: npt.NDArray[np.int64]
    targets: npt.NDArray[np.float32]


@dataclass
class _Columns:
    """Grows a split, chunk by chunk."""

    device: str = "cpu"
    targets: list[npt.NDArray[np.float32]] = field(default_factory=list)
    conditions: list[npt.NDArray[np.float32]] = field(default_factory=list)
    frames: list[npt.NDArray[np.float16]] = field(default_factory=list)
    counts: list[npt.NDArray[np.int64]] = field(default_factory=list)

    def add(self, chunk: _Chunk, rows: npt.NDArray[np.bool_], aggregator: str) -> None:
        """Append the marked rows."""
        if not rows.any():
            return
        counts = np.diff(chunk.offsets)
        self.targets.append(chunk.targets[rows])
        if aggregator == "average":
            sums = np.add.reduceat(chunk.frames.astype(np.float32), chunk.offsets[:-1], axis=0)
            self.conditions.append((sums / counts[:, None])[rows].astype(np.float32))
        elif aggregator == "middle":
            self.conditions.append(chunk.frames[(chunk.offsets[:-1] + counts // 2)[rows]].astype(np.float32))
        else:
            self.frames.append(chunk.frames[np.repeat(rows, counts)])
            self.counts.append(counts[rows])

    def pairs(self) -> Pairs:
        """The split as tensors. Where frames are kept, the first epoch's are drawn already."""
        target = _unit(np.concatenate(self.targets)).to(self.device)
        if self.conditions:
            return Pairs(target, _unit(np.concatenate(self.conditions)).to(self.device))
        offsets = np.concatenate([[0], np.cumsum(np.concatenate(self.counts))]).astype(np.int64)
        frames = torch.from_numpy(np.concatenate(self.frames)).to(self.device)
        pairs = Pairs(target, target, frames, torch.from_numpy(offsets).to(self.device))
        pairs.begin_epoch(0, 0)
        return pairs


def _batches(selection: Selection, spaces: dict[str, str]) -> Iterator[tuple[pa.Table, npt.NDArray[np.int8]]]:
    """Usable rows with their codes, a few thousand at a time."""
    start = 0
    for uri, rows in zip(selection.parts, selection.part_rows, strict=True):
        with storage.open_read(uri) as file:
            parquet = pq.ParquetFile(file)
            _check_part(uri, parquet, rows, spaces)
            for batch in parquet.iter_batches(ROWS_AT_ONCE, columns=["clip_frames", "clap_embedding"]):
                codes = selection.codes_N[start : start + batch.num_rows]
                start += batch.num_rows
                use = codes != LEFT_OUT
                if use.any():
                    yield pa.Table.from_batches([batch]).filter(pa.array(use)), codes[use]


def _check_part(uri: str, parquet: pq.ParquetFile, rows: int, spaces: dict[str, str]) -> None:
    if parquet.metadata.num_rows != rows:
        raise ConfigError(f"{uri} changed while it was read: {rows} rows, now {parquet.metadata.num_rows}")
    metadata = parquet.schema_arrow.metadata or {}
    for side in ("vision", "audio"):
        space = metadata.get(f"v2a.{side}_space".encode(), spaces[side].encode()).decode()
        if space != spaces[side]:
            raise ConfigError(
                f"mixed spaces: {uri} holds {side} embeddings of {space}, the manifest says {spaces[side]}"
            )


def _read_chunk(table: pa.Table, dim: int) -> tuple[_Chunk, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """The rows of a table that hold both sides, which rows these are, and which of them are finite."""
    lengths = pc.fill_null(pc.list_value_length(table["clip_frames"]), 0).to_numpy().astype(np.int64)
    complete = pc.is_valid(table["clap_embedding"]).to_numpy() & (lengths > 0)
    # `flatten` leaves nulls out: without them its result has the rows that are expected.
    kept = table.filter(pa.array(complete))
    _check_widths(kept, dim)
    frames = kept["clip_frames"].combine_chunks().flatten().flatten().to_numpy(zero_copy_only=False).reshape(-1, dim)
    targets = kept["clap_embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, dim)
    offsets = np.concatenate([[0], np.cumsum(lengths[complete])]).astype(np.int64)
    finite = _usable_vectors(targets)
    if len(frames):
        finite &= np.logical_and.reduceat(_usable_vectors(frames), offsets[:-1])
    return _Chunk(frames, offsets, targets), complete, finite


def _check_widths(table: pa.Table, dim: int) -> None:
    found = {
        *pc.unique(pc.list_value_length(table["clap_embedding"])).to_pylist(),
        *pc.unique(pc.list_value_length(pc.list_flatten(table["clip_frames"]))).to_pylist(),
    }
    if found - {dim}:
        widths = ", ".join(map(str, sorted(found)))
        raise ConfigError(f"the embeddings have {widths} numbers, the mapper takes {dim}: embed again with its models")


def _usable_vectors(vectors: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Finite, and not all zeros: such a vector has no direction."""
    usable: npt.NDArray[np.bool_] = np.isfinite(vectors).all(axis=1) & (vectors != 0).any(axis=1)
    return usable


def _unit(vectors_NE: npt.NDArray[np.float32]) -> Tensor:
    return torch.nn.functional.normalize(torch.from_numpy(vectors_NE), dim=-1)
