"""What is computed once and kept in files, a piece at a time: a run that was stopped goes on behind the last one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from v2a_core import storage
from v2a_core.miniature.world.canvas import Style
from v2a_core.miniature.world.scenes import Split
from v2a_core.training.columns import Columns
from v2a_core.training.distributed import Shard

SIZE = 96  # scenes


@dataclass(frozen=True)
class Piece:
    """Consecutive scenes of a split.

    Attributes:
        split: Of the world.
        indices: Numbers of the scenes there.
        style: How they are drawn, where they are.
    """

    split: Split
    indices: range
    style: Style = "paint"

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.split}-{self.style}-{self.indices.start:06d}-{self.indices.stop:06d}"


# The arrays of a piece by name, each with a row for every scene.
Compute = Callable[[Piece], Mapping[str, npt.NDArray[np.generic]]]


def cut(split: Split, indices: range, style: Style = "paint") -> list[Piece]:
    """Scenes as pieces, in their order."""
    starts = range(indices.start, indices.stop, SIZE)
    return [Piece(split, range(start, min(start + SIZE, indices.stop)), style) for start in starts]


def gathered(folder: Path, pieces: Sequence[Piece], compute: Compute) -> Columns:
    """The rows of pieces behind each other; what is not yet in the folder is computed.

    Args:
        folder: A file a piece.
        pieces: Which.
        compute: Makes what is missing.
    """
    found = [_kept(folder / f"{piece.name}.npz", piece, compute) for piece in pieces]
    tensors = {name: torch.from_numpy(np.concatenate([arrays[name] for arrays in found])) for name in found[0]}
    return Columns(tensors, "cpu", Shard(), sum(len(piece.indices) for piece in pieces))


def stacked(rows: Iterable[Mapping[str, npt.ArrayLike]]) -> dict[str, npt.NDArray[np.generic]]:
    """Scenes, one by one, as the arrays of a piece."""
    listed = list(rows)
    return {name: np.stack([np.asarray(row[name]) for row in listed]) for name in listed[0]}


def _kept(file: Path, piece: Piece, compute: Compute) -> dict[str, npt.NDArray[np.generic]]:
    if not file.is_file():
        made = compute(piece)
        with storage.writing(str(file)) as path:
            np.savez(path, **dict(made))
        print(f"{file.parent.name}: {piece.name}", flush=True)
    with np.load(file) as arrays:
        return {name: arrays[name] for name in arrays.files}
