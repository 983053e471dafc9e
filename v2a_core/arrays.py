"""Between numpy arrays and Arrow columns, without a Python object a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Array = npt.NDArray[Any]


def vectors(values: Sequence[Array | None], dim: int) -> pa.Array:
    """A column of fixed-size lists of float32: one (dim,) vector or null a row."""
    mask = np.array([value is None for value in values], dtype=bool)
    flat = np.zeros((len(values), dim), np.float32)
    for row, value in enumerate(values):
        if value is not None:
            flat[row] = value
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), dim, mask=pa.array(mask))


def vector_lists(values: Sequence[Array | None], dim: int, dtype: type[np.floating[Any]]) -> pa.Array:
    """A column of lists of fixed-size lists: one (n, dim) array or null a row."""
    lengths = [0 if value is None else len(value) for value in values]
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    present = [np.asarray(value, dtype).reshape(-1, dim) for value in values if value is not None]
    flat = np.concatenate(present) if present else np.zeros((0, dim), dtype)
    rows = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), dim)
    mask = pa.array(np.array([value is None for value in values], dtype=bool))
    return pa.ListArray.from_arrays(offsets, rows, mask=mask)


def read_vectors(column: pa.ChunkedArray) -> list[npt.NDArray[np.float32] | None]:
    """The inverse of `vectors`."""
    rows: list[npt.NDArray[np.float32] | None] = []
    for chunk in column.chunks:
        dim = chunk.type.list_size
        # `values` ignores a slice's offset, unlike `flatten`, which in turn leaves nulls out.
        flat = chunk.values.to_numpy(zero_copy_only=False).reshape(-1, dim)[chunk.offset :]
        rows += [flat[row] if chunk[row].is_valid else None for row in range(len(chunk))]
    return rows


def read_vector_lists(column: pa.ChunkedArray) -> list[Array | None]:
    """The inverse of `vector_lists`."""
    rows: list[Array | None] = []
    for chunk in column.chunks:
        dim = chunk.type.value_type.list_size
        inner = chunk.values
        flat = inner.values.to_numpy(zero_copy_only=False).reshape(-1, dim)[inner.offset :]
        offsets = chunk.offsets.to_numpy()
        rows += [flat[offsets[row] : offsets[row + 1]] if chunk[row].is_valid else None for row in range(len(chunk))]
    return rows
