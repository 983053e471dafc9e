"""Rows of vectors on disk, read block by block: what a statistic of many sounds is computed from.

Shapes: N rows, D numbers of a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

BLOCK = 1024  # rows in memory at once: 8 MB of 2048 numbers

Floats = npt.NDArray[np.float32]


class StoredRows:
    """Vectors in a file, float32 (N, D), row after row.

    Args:
        path: The file; one that is not there has no rows.
        size: D.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._size = path, size

    def __len__(self) -> int:
        return self._path.stat().st_size // (4 * self._size) if self._path.exists() else 0

    @property
    def shape(self) -> tuple[int, int]:
        """N and D."""
        return len(self), self._size

    def __getitem__(self, rows: slice) -> Floats:
        """Some successive rows, float32."""
        first, last, _ = rows.indices(len(self))
        count = max(0, last - first)
        if not count:
            return np.zeros((0, self._size), np.float32)
        found = np.fromfile(self._path, np.float32, count * self._size, offset=4 * first * self._size)
        return found.reshape(count, self._size)

    def take(self, rows: Sequence[int]) -> Floats:
        """Rows by their numbers, in this order."""
        found = np.empty((len(rows), self._size), np.float32)
        if len(rows):
            with self._path.open("rb") as file:
                for place, row in enumerate(rows):
                    file.seek(4 * row * self._size)
                    found[place] = np.frombuffer(file.read(4 * self._size), np.float32)
        return found


Vectors = npt.NDArray[np.floating[Any]] | StoredRows


def blocks(vectors_ND: Vectors, chosen_N: npt.NDArray[np.bool_] | None = None) -> Iterator[npt.NDArray[Any]]:
    """The rows in order, `BLOCK` at a time at most.

    Args:
        vectors_ND: In memory or on disk.
        chosen_N: Which of them; None: all.
    """
    for start in range(0, len(vectors_ND), BLOCK):
        rows = slice(start, start + BLOCK)
        if chosen_N is None:
            yield vectors_ND[rows]
        elif chosen_N[rows].any():
            yield vectors_ND[rows][chosen_N[rows]]


def gathered(vectors_ND: Vectors, chosen_N: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[Any]:
    """These rows in memory, in order; of many, only a few should be chosen."""
    found = list(blocks(vectors_ND, chosen_N))
    return np.concatenate(found) if found else np.zeros((0, vectors_ND.shape[1]), np.float32)
