"""Which rows of an embeddings folder are trained on, judged on, or left out, and why. Reads no embeddings.

Splits: the catalog's own column where it has one (train, validation, test, in their usual spellings). Rows without a
split in a catalog that has some are training rows. When nothing is marked for validation, a share of the training
sources is held out, chosen by a hash of the source's URI: the same on every machine and in every order, the same for
a source when others are added, and never with segments of one source on both sides. Test rows are not touched.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.outputs import manifest
from v2a_core.outputs.joining import Beside, frame_numbers
from v2a_core.outputs.ledger import check_identity, part_files, reading
from v2a_core.tables import latest
from v2a_core.tables.schema import EMBEDDING_DIM, OK, ROWS_FOLDER, vision_dim_of
from v2a_core.training.config import SplitSettings

LEFT_OUT, TRAIN, VALIDATION, TEST = -1, 0, 1, 2
SPLIT_NAMES = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
_SPELLINGS = {
    "train": TRAIN, "training": TRAIN, "val": VALIDATION, "valid": VALIDATION, "validation": VALIDATION,
    "dev": VALIDATION, "test": TEST, "testing": TEST, "eval": TEST, "evaluation": TEST,
}  # fmt: skip
_COLUMNS = [*latest.COLUMNS, "source_uri", "split", "label", "status", "silent", "audio_rms_dbfs", "duration_s"]


@dataclass(frozen=True)
class Selection:
    """The rows of an embeddings folder.

    Attributes:
        parts: The Parquet files, in order.
        part_rows: Rows of each.
        codes_N: For each row TRAIN, VALIDATION, TEST or LEFT_OUT, int8.
        left_out: Rows left out, by reason.
        labels_N: For each row its place in `label_names`, -1 without a label, int32.
        label_names: The catalog's labels.
        frames: Frame embeddings of all rows.
        vision_dim: Numbers in one.
        weights_N: What each row counts in the training loss, float32, 1 on average over training rows; None: all 1.
        beside: A sidecar, some of whose columns are read instead; None: there is none.
        beside_N: For each row the number of its row there, int64.
    """

    parts: list[str]
    part_rows: list[int]
    codes_N: npt.NDArray[np.int8]
    left_out: dict[str, int]
    labels_N: npt.NDArray[np.int32]
    label_names: list[str]
    frames: int
    vision_dim: int = EMBEDDING_DIM
    weights_N: npt.NDArray[np.float32] | None = None
    beside: Beside | None = None
    beside_N: npt.NDArray[np.int64] | None = None

    def counts(self) -> dict[str, int]:
        """Rows by split."""
        return {name: int((self.codes_N == code).sum()) for name, code in SPLIT_NAMES.items()}

    def without(self, marked_N: npt.NDArray[np.bool_], reason: str) -> Selection:
        """The same, with some more rows left out.

        Raises:
            ConfigError: When nothing is left to train on or to judge by.
        """
        gone_N = marked_N & (self.codes_N != LEFT_OUT)
        codes_N = np.where(gone_N, LEFT_OUT, self.codes_N).astype(np.int8)
        left_out = {**self.left_out, reason: int(gone_N.sum())}
        found = dataclasses.replace(self, codes_N=codes_N, left_out=left_out)
        _check_enough(self.parts[0].rpartition("/")[0], found)
        return found

    def fingerprint(self) -> str:
        """Tells two states of an embeddings folder, and of what lies beside it, apart: the files and their rows."""
        names = [uri.rsplit("/", 1)[-1] for uri in self.parts]
        text = "\n".join(f"{name} {rows}" for name, rows in zip(names, self.part_rows, strict=True))
        if self.beside is not None:
            text += f"\nbeside\n{self.beside.fingerprint()}"
        return hashlib.sha256(text.encode()).hexdigest()


def select(embeddings: str, settings: SplitSettings, limit: int | None = None) -> Selection:
    """Assign every row of an embeddings folder.

    Args:
        embeddings: Folder or URI.
        settings: How splits are made.
        limit: Take the first `limit` sources only.

    Raises:
        ConfigError: When there is nothing to train on or to judge by, or a split has an unknown name.
    """
    parts = part_files(storage.join(embeddings, ROWS_FOLDER))
    if not parts:
        raise ConfigError(f"{embeddings} holds no {ROWS_FOLDER}/part-*.parquet: run `v2a embed` into it first")
    identity = manifest.recorded_identity(embeddings)
    light = [_read_light(uri, identity) for uri in parts]
    tables, vision_dim = [table for table, _, _ in light], _one_width(parts, [width for _, width, _ in light])
    frames = sum(numbers for _, _, numbers in light) // vision_dim
    table = pa.concat_tables(tables)
    sources = table["source_uri"].combine_chunks()
    usable, left_out = _usable(table, sources, limit)
    codes = assign(sources, table["split"].combine_chunks(), usable, settings)
    labels, names = _labels(table["label"].combine_chunks())
    weights = row_weights(sources, table["duration_s"].combine_chunks(), codes == TRAIN, settings.segment_weight)
    rows = [part.num_rows for part in tables]
    selection = Selection(parts, rows, codes, left_out, labels, names, frames, vision_dim, weights)
    _check_enough(embeddings, selection)
    return selection


def assign(
    sources: pa.StringArray, splits: pa.StringArray, usable_N: npt.NDArray[np.bool_], settings: SplitSettings
) -> npt.NDArray[np.int8]:
    """A code for each row.

    Args:
        sources: The source of each row.
        splits: The catalog's split of each row, null without one.
        usable_N: Rows that can be used at all.
        settings: How splits are made.

    Raises:
        ConfigError: On a split of an unknown name.
    """
    if settings.splits == "catalog" and splits.null_count == len(splits):
        raise ConfigError("data.splits = 'catalog', but no row has a split; allowed: auto | hash for these embeddings")
    codes = np.zeros(len(sources), np.int8) if settings.splits == "hash" else _catalog_codes(splits)
    codes[~usable_N] = LEFT_OUT
    if not (codes == VALIDATION).any():
        held_out = _held_out(sources, codes == TRAIN, settings.validation_share)
        codes[held_out & (codes == TRAIN)] = VALIDATION
    return codes


def row_weights(
    sources: pa.StringArray,
    durations: pa.FloatingPointArray,
    train_N: npt.NDArray[np.bool_],
    kind: Literal["equal", "source", "duration"],
) -> npt.NDArray[np.float32] | None:
    """What each row counts in the loss, float32 (N,), 1 on average over the training rows; None when all count alike.

    Args:
        sources: The source of each row.
        durations: Seconds of each row; a row without a length counts as the average one.
        train_N: The training rows.
        kind: `source`: all rows of a source together count as much as those of another; `duration`: by the seconds.
    """
    if kind == "equal" or not train_N.any():
        return None
    if kind == "source":
        indices = sources.dictionary_encode().indices.to_numpy()
        weights = 1.0 / np.maximum(1, np.bincount(indices[train_N], minlength=indices.max() + 1))[indices]
    else:
        weights = pc.fill_null(durations.cast(pa.float64()), float("nan")).to_numpy(zero_copy_only=False).copy()
        known = weights[train_N & (weights > 0)]
        weights[~(weights > 0)] = known.mean() if len(known) else 1.0
    scaled: npt.NDArray[np.float32] = (weights / weights[train_N].mean()).astype(np.float32)
    return scaled


def _labels(labels: pa.StringArray) -> tuple[npt.NDArray[np.int32], list[str]]:
    encoded = labels.dictionary_encode()
    numbers: npt.NDArray[np.int32] = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int32)
    return numbers, encoded.dictionary.to_pylist()


def _read_light(uri: str, identity: str | None) -> tuple[pa.Table, int, int]:
    """The small columns of a file, the width of its frame embeddings, and how many numbers they are in all."""
    with storage.open_read(uri) as file, reading(uri):
        parquet = pq.ParquetFile(file, page_checksum_verification=True)
        check_identity(uri, parquet.schema_arrow, identity)
        missing = set(_COLUMNS) - set(parquet.schema_arrow.names)
        if missing:
            raise ConfigError(f"{uri} is not a file of embeddings: it lacks {', '.join(sorted(missing))}")
        schema = parquet.schema_arrow
        return parquet.read(columns=_COLUMNS), vision_dim_of(schema), frame_numbers(parquet.metadata)


def _one_width(parts: list[str], widths: list[int]) -> int:
    for uri, width in zip(parts, widths, strict=True):
        if width != widths[0]:
            raise ConfigError(
                f"mixed spaces: the frames of {uri} have {width} numbers, those of {parts[0]} {widths[0]}"
            )
    return widths[0]


def _usable(
    table: pa.Table, sources: pa.StringArray, limit: int | None
) -> tuple[npt.NDArray[np.bool_], dict[str, int]]:
    # A dictionary numbers sources in the order in which they first appear.
    number = sources.dictionary_encode().indices
    reasons = {
        "beyond the limit": pc.greater_equal(number, len(sources) if limit is None else limit),
        "replaced since": pa.array(~latest.is_latest(table)),
        "rejected": pc.not_equal(table["status"], OK),
        "no audio": pc.is_null(table["audio_rms_dbfs"]),
        "silent": pc.fill_null(table["silent"], fill_value=False),
    }
    usable = np.ones(table.num_rows, bool)
    left_out = {}
    for reason, column in reasons.items():
        bad = usable & column.to_numpy(zero_copy_only=False).astype(bool)
        left_out[reason] = int(bad.sum())
        usable &= ~bad
    return usable, left_out


def _catalog_codes(splits: pa.StringArray) -> npt.NDArray[np.int8]:
    encoded = pc.fill_null(splits, "train").dictionary_encode()
    names = encoded.dictionary.to_pylist()
    unknown = [name for name in names if name.strip().lower() not in _SPELLINGS]
    if unknown:
        raise ConfigError(
            f"unknown splits {', '.join(map(repr, unknown))}; known: {', '.join(_SPELLINGS)}. "
            "To leave the catalog's splits aside: --set data.splits=hash"
        )
    lookup = np.array([_SPELLINGS[name.strip().lower()] for name in names] or [TRAIN], np.int8)
    codes: npt.NDArray[np.int8] = lookup[encoded.indices.to_numpy()]
    return codes


def _held_out(sources: pa.StringArray, train_N: npt.NDArray[np.bool_], share: float) -> npt.NDArray[np.bool_]:
    """Rows whose source is held out for validation."""
    encoded = sources.dictionary_encode()
    indices = encoded.indices.to_numpy()
    place = np.array([_place(uri) for uri in encoded.dictionary.to_pylist()] or [1.0])
    candidates = np.unique(indices[train_N])
    chosen = place < share
    if len(candidates) >= 2:
        # A small catalog may have no source, or every source, below the share: at least one on each side.
        if not chosen[candidates].any():
            chosen[candidates[place[candidates].argmin()]] = True
        elif chosen[candidates].all():
            chosen[candidates[place[candidates].argmax()]] = False
    rows: npt.NDArray[np.bool_] = chosen[indices]
    return rows


def _place(source: str) -> float:
    """Where a source stands in [0, 1), by its hash."""
    return int.from_bytes(hashlib.blake2b(source.encode(), digest_size=8, person=b"v2a-split").digest(), "big") / 2**64


def _check_enough(embeddings: str, selection: Selection) -> None:
    counts = selection.counts()
    reasons = ", ".join(f"{count} {reason}" for reason, count in selection.left_out.items() if count) or "none"
    if not sum(counts.values()):
        rows = sum(selection.part_rows)
        raise ConfigError(f"{embeddings} has nothing usable in {rows} rows; left out: {reasons}")
    for name in ("train", "validation"):
        if not counts[name]:
            raise ConfigError(
                f"{embeddings} has no row for {name} (by split: {counts}; left out: {reasons}). "
                "Training needs at least two sources, or a `split` column that marks both sides."
            )
