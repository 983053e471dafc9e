"""Rows of a folder as tensors by name, for what is learned from whole columns.

Shapes: N rows of a split, B rows of a batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from v2a_core import storage
from v2a_core.training.distributed import Shard
from v2a_core.training.selected import selected
from v2a_core.training.selection import SPLIT_NAMES, TRAIN, VALIDATION, Selection

ROWS_AT_ONCE = 256
_NUMBER, _WEIGHT = "number in the split", "weight in the loss"  # beside what is learned from

# Columns of a table as arrays, each with a row for each of its rows.
Read = Callable[[pa.Table], Mapping[str, npt.NDArray[np.generic]]]


@dataclass
class Columns:
    """The rows of one split in the memory of this machine; or a worker's share of them.

    Attributes:
        tensors: By name, each (N, ...).
        device: Where batches go.
        shard: Which rows of the split these are.
        rows: Rows of the whole split.
        weight_N: What each of these counts in the loss, float32 on the device; None: 1.
    """

    tensors: dict[str, Tensor]
    device: str
    shard: Shard
    rows: int
    weight_N: Tensor | None = None

    def __len__(self) -> int:
        return self.rows

    def begin_epoch(self, seed: int, epoch: int) -> None:
        """Nothing is drawn once an epoch."""

    def inputs(self, rows_B: Tensor) -> dict[str, Tensor]:
        """Some of these rows on the device, numbers of 16 bit as float32."""
        rows_B = rows_B.cpu()
        found = {name: values[rows_B].to(self.device) for name, values in self.tensors.items()}
        return {name: values.float() if values.is_floating_point() else values for name, values in found.items()}


@dataclass(frozen=True)
class Splits:
    """What is learned from, what judges, and how many rows there are.

    Attributes:
        train, validation: The rows; those that judge complete on every worker.
        counts: Usable rows by split.
        left_out: Rows left out, by reason.
    """

    train: Columns
    validation: Columns
    counts: Mapping[str, int]
    left_out: Mapping[str, int]


def load_splits(selection: Selection, names: Sequence[str], read: Read, *, device: str, shard: Shard) -> Splits:
    """Read the rows of the training and validation split, in the order of their segments' ids.

    Rows are written as they are made, in any order: by ids, the same segments have the same one.

    Args:
        selection: Which rows.
        names: Columns that are read.
        read: Makes arrays of them.
        device: Where batches go.
        shard: Keep this share of the training rows only.

    Raises:
        ConfigError: When a file changed since the selection, or lacks what is learned from.
    """
    number_N = _numbers(selection)
    grown = {TRAIN: _Grown(device, shard), VALIDATION: _Grown(device, Shard())}
    for table, rows in selected(selection, names, ROWS_AT_ONCE):
        arrays, codes = read(table), selection.codes_N[rows]
        weights = None if selection.weights_N is None else selection.weights_N[rows]
        for code, split in grown.items():
            split.add(arrays, codes == code, number_N[rows], weights)
    return Splits(grown[TRAIN].columns(), grown[VALIDATION].columns(), selection.counts(), selection.left_out)


def _numbers(selection: Selection) -> npt.NDArray[np.int64]:
    """The place of each row in its split, int64 (rows,)."""
    ids = [value for uri in selection.parts for value in _column(uri, "segment_id")]
    order_N = np.argsort(np.array(ids, dtype=np.str_), kind="stable")
    number_N = np.zeros(len(ids), np.int64)
    for code in SPLIT_NAMES.values():
        marked_N = order_N[selection.codes_N[order_N] == code]
        number_N[marked_N] = np.arange(len(marked_N))
    return number_N


def _column(uri: str, name: str) -> list[str]:
    with storage.open_read(uri) as file:
        return list(pq.read_table(file, columns=[name])[name].to_pylist())


@dataclass
class _Grown:
    """A split that grows, table by table."""

    device: str
    shard: Shard
    rows: int = 0  # of the whole split
    parts: dict[str, list[npt.NDArray[np.generic]]] = field(default_factory=lambda: defaultdict(list))

    def add(
        self,
        arrays: Mapping[str, npt.NDArray[np.generic]],
        marked: npt.NDArray[np.bool_],
        numbers: npt.NDArray[np.int64],
        weights: npt.NDArray[np.float32] | None,
    ) -> None:
        """Append this shard's part of the marked rows."""
        self.rows += int(marked.sum())
        own = marked & (numbers % self.shard.workers == self.shard.rank)
        beside: dict[str, npt.NDArray[np.generic]] = {_NUMBER: numbers}
        if weights is not None:
            beside[_WEIGHT] = weights
        for name, values in {**arrays, **beside}.items():
            self.parts[name].append(values[own])

    def columns(self) -> Columns:
        """The rows in their order."""
        found = {name: np.concatenate(values) for name, values in self.parts.items()}
        order = found.pop(_NUMBER).argsort(kind="stable")
        tensors = {name: torch.from_numpy(values[order]) for name, values in found.items()}
        weight_N = tensors.pop(_WEIGHT).to(self.device) if _WEIGHT in tensors else None
        return Columns(tensors, self.device, self.shard, self.rows, weight_N)
