"""Files of embeddings -> usable pairs as arrays, a few thousand rows at a time.

Shapes: F frames of all rows, V width of a visual embedding, E of an audio embedding.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from v2a_core.config import ConfigError
from v2a_core.mappers.aggregators import Seeds, aggregate
from v2a_core.models import load_bundle
from v2a_core.models.spaces import made_anew
from v2a_core.outputs import manifest
from v2a_core.outputs.manifest import Manifest
from v2a_core.outputs.sidecar import Sidecar, open_sidecar
from v2a_core.training.config import SplitSettings
from v2a_core.training.selected import selected_of
from v2a_core.training.selection import Selection

ROWS_AT_ONCE = 4096


def read_manifest(embeddings: str, settings: SplitSettings) -> Manifest:
    """The manifest of the embeddings, checked.

    Raises:
        ConfigError: Without a manifest, of another job or schema, without spaces or of one that sounds came into by
            another path, or of a job that has not finished.
    """
    made_by = manifest.read(embeddings, job="embed")
    spaces = made_by.get("spaces") or {}
    if not spaces.get("vision") or not spaces.get("audio"):
        raise ConfigError(f"{embeddings}: the manifest names no vision and audio space; embed again with this program")
    advice = made_anew(spaces["audio"], "embed")
    if advice:
        raise ConfigError(f"{embeddings} would make a mapper that fits no generator: {advice}")
    if made_by.get("status") != "done" and not settings.allow_unfinished:
        raise ConfigError(
            f"{embeddings} is not finished (status {made_by.get('status')!r}): run the same `v2a embed` again to "
            "complete it, or train on what is there with --set data.allow_unfinished=true"
        )
    return made_by


def read_manifests(embeddings: str, beside: str | None, settings: SplitSettings) -> tuple[Manifest, Sidecar | None]:
    """The manifest of embeddings, as it would be of one table with what lies beside them; and that.

    Args:
        embeddings: Folder or URI that `v2a embed` wrote.
        beside: Folder or URI that `v2a embed --beside` wrote; None: nothing.
        settings: Whether jobs must have finished.

    Raises:
        ConfigError: As `read_manifest`, and for a sidecar that does not fit the embeddings.
    """
    made_by = read_manifest(embeddings, settings)
    if beside is None:
        return made_by, None
    sidecar = open_sidecar(beside, embeddings, made_by, allow_unfinished=settings.allow_unfinished)
    return sidecar.joined(made_by), sidecar


def check_models(models: str | None, made_by: Manifest, embeddings: str) -> None:
    """Refuse embeddings of another bundle than the one that is asked for.

    Raises:
        ConfigError: Naming both.
    """
    has = made_by.get("bundle", {}).get("name")
    if models is None:
        return
    needs = load_bundle(models).name
    if has != needs:
        raise ConfigError(f"{embeddings} was made with the bundle {has!r}, --models asks for {needs!r}")


def read_part(selection: Selection, part: int, spaces: dict[str, str], embedding_dim: int) -> Iterator[Chunk]:
    """The usable pairs of one file of embeddings, a few thousand at a time.

    Raises:
        ConfigError: On a file of another space or width, or one that changed since the selection.
    """
    names = ["segment_id", "vision_frames", "clap_embedding"]
    check = functools.partial(_check_spaces, _own_spaces(selection, spaces))
    for table, rows in selected_of(selection, part, names, ROWS_AT_ONCE, check):
        yield _read_chunk(table, rows, selection, embedding_dim)


@dataclass(frozen=True)
class Chunk:
    """Usable rows as arrays.

    Attributes:
        frames: (F, V) float16.
        offsets: Row i's frames are `offsets[i]` up to `offsets[i + 1]`, (rows + 1,).
        targets: (rows, E) float32.
        keys: What tells the segments apart, uint64 (rows,), by their ids: aggregators that draw are seeded with it.
        codes, labels, weights: The selection's, of these rows.
        incomplete, infinite: Rows that lack a side, or hold numbers that cannot be used.
    """

    frames: npt.NDArray[np.float16]
    offsets: npt.NDArray[np.int64]
    targets: npt.NDArray[np.float32]
    keys: Seeds
    codes: npt.NDArray[np.int8]
    labels: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32] | None
    incomplete: int
    infinite: int

    def conditions(self, rows: npt.NDArray[np.bool_], aggregator: str, seeds: Seeds) -> npt.NDArray[np.float32]:
        """One vector a marked row, float32 (marked rows, V), not yet L2-normalised.

        Args:
            rows: Which rows are marked, bool (rows,).
            aggregator: How a vector is made of frames.
            seeds: Of the marked rows, for aggregators that draw, uint64 (marked rows,).
        """
        counts = np.diff(self.offsets)
        offsets = np.concatenate([[0], np.cumsum(counts[rows])]).astype(np.int64)
        return aggregate(aggregator, self.frames[np.repeat(rows, counts)], offsets, seeds)


def _own_spaces(selection: Selection, spaces: Mapping[str, str]) -> Mapping[str, str]:
    """Those that parts of the embeddings have to be of: what lies beside them is of its own, and checked there."""
    seen_beside = selection.beside is not None and "vision_frames" in selection.beside.columns
    return {"audio": spaces["audio"]} if seen_beside else spaces


def _check_spaces(spaces: Mapping[str, str], uri: str, schema: pa.Schema) -> None:
    metadata = schema.metadata or {}
    for side, wanted in spaces.items():
        space = metadata.get(f"v2a.{side}_space".encode(), wanted.encode()).decode()
        if space != wanted:
            raise ConfigError(f"mixed spaces: {uri} holds {side} embeddings of {space}, the manifest says {wanted}")


def _read_chunk(table: pa.Table, rows: npt.NDArray[np.int64], selection: Selection, dim: int) -> Chunk:
    """The rows of a table that hold both sides in finite numbers; `rows` are their numbers in the selection."""
    lengths = pc.fill_null(pc.list_value_length(table["vision_frames"]), 0).to_numpy().astype(np.int64)
    complete = pc.is_valid(table["clap_embedding"]).to_numpy() & (lengths > 0)
    # `flatten` leaves nulls out: without them its result has the rows that are expected.
    kept = table.filter(pa.array(complete))
    _check_widths(kept, dim)
    frames = kept["vision_frames"].combine_chunks().flatten().flatten().to_numpy(zero_copy_only=False)
    frames = frames.reshape(-1, selection.vision_dim)
    targets = kept["clap_embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, dim)
    counts = lengths[complete]
    finite = _usable_vectors(targets)
    if len(frames):
        finite &= np.logical_and.reduceat(_usable_vectors(frames), np.cumsum(counts) - counts)
    usable = rows[complete][finite]
    return Chunk(
        frames=frames[np.repeat(finite, counts)],
        offsets=np.concatenate([[0], np.cumsum(counts[finite])]).astype(np.int64),
        targets=targets[finite],
        keys=_keys(kept["segment_id"].filter(pa.array(finite))),
        codes=selection.codes_N[usable],
        labels=selection.labels_N[usable],
        weights=None if selection.weights_N is None else selection.weights_N[usable],
        incomplete=int((~complete).sum()),
        infinite=int((~finite).sum()),
    )


def _keys(segment_ids: pa.ChunkedArray) -> Seeds:
    digests = (hashlib.blake2b(identity.encode(), digest_size=8).digest() for identity in segment_ids.to_pylist())
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def _check_widths(table: pa.Table, dim: int) -> None:
    found = set(pc.unique(pc.list_value_length(table["clap_embedding"])).to_pylist())
    if found - {dim}:
        widths = ", ".join(map(str, sorted(found)))
        raise ConfigError(f"the audio embeddings have {widths} numbers, not {dim}: embed again with this program")


def _usable_vectors(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Finite, and not all zeros: such a vector has no direction."""
    usable: npt.NDArray[np.bool_] = np.isfinite(vectors).all(axis=1) & (vectors != 0).any(axis=1)
    return usable
