"""Between numpy arrays and Arrow columns, without a Python object a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Array: TypeAlias = npt.NDArray[np.float16 | np.float32]


def vectors(values: Sequence[Array | None], dim: int) -> pa.Array:
    """A column of lists of `dim` float32: one (dim,) vector or null a row."""
    present = [np.asarray(value, np.float32).reshape(dim) for value in values if value is not None]
    flat = np.concatenate(present) if present else np.zeros(0, np.float32)
    return pa.ListArray.from_arrays(_offsets([0 if v is None else dim for v in values]), flat, mask=_nulls(values))


def vector_lists(values: Sequence[Array | None], dim: int, dtype: type[np.float16 | np.float32]) -> pa.Array:
    """A column of lists of fixed-size lists: one (n, dim) array or null a row."""
    present = [np.asarray(value, dtype).reshape(-1, dim) for value in values if value is not None]
    flat = np.concatenate(present) if present else np.zeros((0, dim), dtype)
    rows = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), dim)
    return pa.ListArray.from_arrays(_offsets([0 if v is None else len(v) for v in values]), rows, mask=_nulls(values))


def read_vectors(column: pa.ChunkedArray) -> list[npt.NDArray[np.float32] | None]:
    """The inverse of `vectors`."""
    rows: list[npt.NDArray[np.float32] | None] = []
    for chunk in column.chunks:
        flat, offsets = chunk.values.to_numpy(zero_copy_only=False), chunk.offsets.to_numpy()
        rows += [flat[offsets[row] : offsets[row + 1]] if chunk[row].is_valid else None for row in range(len(chunk))]
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


def _offsets(lengths: Sequence[int]) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))


def _nulls(values: Sequence[Array | None]) -> pa.Array:
    return pa.array(np.array([value is None for value in values], dtype=bool))
