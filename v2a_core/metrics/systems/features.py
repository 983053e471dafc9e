"""What a network found out about a set of sounds: read once, part by part, kept on disk by groups of sources.

The driver's memory holds a group of a column at most, however many sounds there are.

Shapes: N rows of a column, D numbers of a row, G groups.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from v2a_core.metrics.base import NotMeasuredError
from v2a_core.metrics.jackknife import GROUPS, group_of
from v2a_core.outputs.ledger import part_files, read_part
from v2a_core.tables import arrays
from v2a_core.tables.schema import OK

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Member:
    """A sound of a set.

    Attributes:
        key: Its id in the set; made sounds and references with one key are a pair.
        source: What it is the sound of; sounds of one source depend on each other.
    """

    key: str
    source: str


class Features:
    """The features of a set, on disk.

    Args:
        folder: An empty one, which is written to.
        sizes: D of each column; a sound may have several rows of a column.

    Attributes:
        keys: Groups of the sounds that have features, by key.
        rejected: Why others have none, by key.
        silent: Keys of those that are digitally silent.
    """

    def __init__(self, folder: Path, sizes: Mapping[str, int]) -> None:
        self._folder, self._sizes = folder, dict(sizes)
        folder.mkdir(parents=True)
        self._owners: dict[tuple[str, int], list[str]] = {}
        self.keys: dict[str, int] = {}
        self.rejected: dict[str, str] = {}
        self.silent: set[str] = set()

    def add(self, member: Member, rows: Mapping[str, Floats]) -> None:
        """Add a sound: for each column (rows, D); one that was added before is passed over."""
        if member.key in self.keys:
            return
        group = group_of(member.source)
        self.keys[member.key] = group
        for column, rows_ND in rows.items():
            owners = self._owners.setdefault((column, group), [])
            owners += [member.key] * len(rows_ND)
            with self._file(column, group).open("ab") as file:
                file.write(np.ascontiguousarray(rows_ND, np.float32).tobytes())

    def group(self, column: str, group: int) -> Floats:
        """The rows of a column of one group, float32 (N, D)."""
        path, size = self._file(column, group), self._sizes[column]
        return np.fromfile(path, np.float32).reshape(-1, size) if path.exists() else np.zeros((0, size), np.float32)

    def owners(self, column: str, group: int) -> Sequence[str]:
        """The key of each of these rows."""
        return self._owners.get((column, group), [])

    def occupied(self, column: str) -> list[int]:
        """The groups that have rows of a column, ascending."""
        return [group for group in range(GROUPS) if self._owners.get((column, group))]

    def count(self, column: str, without: int | None = None) -> int:
        """Rows of a column."""
        return sum(len(keys) for (name, group), keys in self._owners.items() if name == column and group != without)

    def size(self, column: str) -> int:
        """D."""
        return self._sizes[column]

    def drawn(self, column: str, most: int) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Rows of a column with their groups, float32 (N, D) and int64 (N,), in the order of their keys.

        Args:
            column: Which.
            most: Of more sounds, those with the lowest hashes are taken: the same ones of every system.

        Raises:
            NotMeasuredError: When there are none.
        """
        each = max(1, -(-self.count(column) // max(1, len(self.keys))))
        chosen = set(sorted(self.keys, key=_hash)[: max(1, most // each)])
        found: list[tuple[str, int, Floats]] = []
        for group in self.occupied(column):
            rows_ND = self.group(column, group)
            named = enumerate(self.owners(column, group))
            found += [(key, group, rows_ND[row]) for row, key in named if key in chosen]
        if not found:
            raise NotMeasuredError("no sound has features")
        found.sort(key=lambda item: item[0])
        return np.stack([item[2] for item in found]), np.array([item[1] for item in found], np.int64)

    def pairs(self, other: Features, column: str) -> Iterable[tuple[list[str], Floats, Floats]]:
        """For each group the keys that both sets have, and their rows of a column with one row a sound."""
        for group in self.occupied(column):
            mine = dict(zip(self.owners(column, group), self.group(column, group), strict=True))
            theirs = dict(zip(other.owners(column, group), other.group(column, group), strict=True))
            keys = sorted(mine.keys() & theirs.keys())
            if keys:
                yield keys, np.stack([mine[key] for key in keys]), np.stack([theirs[key] for key in keys])

    def reasons(self) -> Counter[str]:
        """Why sounds have no features, with their numbers."""
        return Counter(self.rejected.values())

    def kept(self, name: str) -> Path:
        """A file of this set for what was computed of it."""
        return self._folder / f"{name}.npz"

    def _file(self, column: str, group: int) -> Path:
        return self._folder / f"{column}-{group}.f32"


def read_features(
    rows: str, members: Mapping[str, Sequence[Member]], columns: Mapping[str, int], folder: Path
) -> Features:
    """The features of some sounds, out of the folder of a network.

    Args:
        rows: Folder or URI of the network's rows.
        members: Of the set, by sound id; several where a sound is the same for several keys.
        columns: Of the network, with their D.
        folder: Where they are kept.
    """
    found = Features(folder, columns)
    wanted = pa.array(list(members), pa.string())
    names = ["segment_id", "status", "reject_type", "silent", *columns]
    for uri in part_files(rows):
        table = read_part(uri, names)
        table = table.filter(pa.compute.is_in(table["segment_id"], value_set=wanted))
        vectors = {name: arrays.read_vectors(table[name]) for name in columns}
        about = table.select(["segment_id", "status", "reject_type", "silent"]).to_pylist()
        for place, row in enumerate(about):
            for member in members[row["segment_id"]]:
                if row["status"] != OK:
                    found.rejected[member.key] = row["reject_type"]
                    continue
                cells = {name: vectors[name][place] for name in columns}
                rows_of = {name: cell.reshape(-1, columns[name]) for name, cell in cells.items() if cell is not None}
                found.add(member, rows_of)
                if row["silent"]:
                    found.silent.add(member.key)
    return found


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
