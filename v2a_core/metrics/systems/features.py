"""What a network found out about a set of sounds: read once, batch by batch, kept on disk by groups of sources.

Of the rows no more than a block is held at once.

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
import pyarrow.compute as pc

from v2a_core.metrics.base import NotMeasuredError
from v2a_core.metrics.extractors.folder import Weights
from v2a_core.metrics.jackknife import GROUPS, group_of
from v2a_core.metrics.stored import StoredRows, blocks, gathered
from v2a_core.outputs.ledger import part_files, read_batches
from v2a_core.tables import arrays
from v2a_core.tables.schema import OK

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Member:
    """A sound of a set.

    Attributes:
        key: Its id in the set; made sounds and references with one key are a pair.
        source: What it is the sound of; sounds of one source depend on each other.
    """

    key: str
    source: str


@dataclass(frozen=True)
class Drawn:
    """Rows of a column, on disk.

    Attributes:
        rows_ND: In the order of their keys.
        groups_N: Of the source of each.
    """

    rows_ND: StoredRows
    groups_N: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Folders:
    """Where the rows of an extractor lie.

    Attributes:
        weights: Of the extractor.
        made: Folder or URI of the rows of the systems' sounds; empty of an extractor that sees videos.
        reference: Of the references' sounds, and of silence; empty: there are none.
        round_trip: Of what comes back of the references from the generator's VAE and vocoder; empty: nobody asked.
    """

    weights: Weights
    made: str
    reference: str
    round_trip: str = ""


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

    def leave_out_empty(self, column: str, reason: str) -> None:
        """Sounds without rows of a column have no features, for a reason."""
        owners = {key for (name, _), keys in self._owners.items() if name == column for key in keys}
        for key in [key for key in self.keys if key not in owners]:
            del self.keys[key]
            self.rejected[key] = reason

    def group(self, column: str, group: int) -> StoredRows:
        """The rows of a column of one group."""
        return StoredRows(self._file(column, group), self._sizes[column])

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

    def drawn(self, column: str, most: int | None = None) -> Drawn:
        """Rows of a column in the order of their keys; they are put into a file of their own once.

        Args:
            column: Which.
            most: Of more rows, those of the sounds with the lowest hashes are taken: the same ones of every system.

        Raises:
            NotMeasuredError: When there are none.
        """
        chosen = sorted(self.keys)
        if most is not None and self.count(column) > most:
            each = -(-self.count(column) // len(self.keys))
            chosen = sorted(sorted(self.keys, key=_hash)[: max(1, most // each)])
        places = self._places(column, chosen)
        count = sum(map(len, places.values()))
        if not count:
            raise NotMeasuredError("no sound has features")
        path, groups_N = self._folder / f"{column}-drawn-{most}.f32", np.empty(count, np.int64)
        self._put(column, places, path, groups_N)
        return Drawn(StoredRows(path, self._sizes[column]), groups_N)

    def pairs(self, other: Features, column: str) -> Iterable[tuple[list[str], Floats, Floats]]:
        """Keys that both sets have, and their rows of a column with one row a sound; block by block, a group each."""
        for group in self.occupied(column):
            theirs = {key: row for row, key in enumerate(other.owners(column, group))}
            start = 0
            for mine_ND in blocks(self.group(column, group)):
                owners = self.owners(column, group)[start : start + len(mine_ND)]
                start += len(mine_ND)
                mine = {key: row for row, key in enumerate(owners) if key in theirs}
                keys = sorted(mine)
                if keys:
                    wanted = [theirs[key] for key in keys]
                    yield keys, mine_ND[[mine[key] for key in keys]], other.group(column, group).take(wanted)

    def each(self, column: str, group: int) -> dict[str, Floats]:
        """The rows (N, D) of each sound of a group, none for a sound that has none: for columns of few numbers."""
        found = {key: np.zeros((0, self._sizes[column]), np.float32) for key, of in self.keys.items() if of == group}
        rows_ND, owners = gathered(self.group(column, group)), np.array(self.owners(column, group), dtype=object)
        return found | {key: rows_ND[owners == key] for key in dict.fromkeys(owners)}

    def reasons(self) -> Counter[str]:
        """Why sounds have no features, with their numbers."""
        return Counter(self.rejected.values())

    def kept(self, name: str) -> Path:
        """A file of this set for what was computed of it."""
        return self._folder / f"{name}.npz"

    def _places(self, column: str, keys: Sequence[str]) -> dict[str, list[int]]:
        """Where the rows of each of these sounds stand when they are put in this order."""
        each: Counter[str] = Counter()
        for group in self.occupied(column):
            each.update(self.owners(column, group))
        places, next_one = {}, 0
        for key in keys:
            places[key] = list(range(next_one, next_one + each[key]))
            next_one += each[key]
        return places

    def _put(self, column: str, places: dict[str, list[int]], path: Path, groups_N: npt.NDArray[np.int64]) -> None:
        """Write rows to their places, and their groups beside them."""
        with path.open("wb") as file:
            for group in self.occupied(column):
                owners = iter(self.owners(column, group))
                for rows_ND in blocks(self.group(column, group)):
                    for row_D in rows_ND:
                        left = places.get(next(owners))
                        if left:
                            place = left.pop(0)
                            groups_N[place] = group
                            file.seek(place * row_D.nbytes)
                            file.write(row_D.tobytes())

    def _file(self, column: str, group: int) -> Path:
        return self._folder / f"{column}-{group}.f32"


def read_features(
    rows: str,
    members: Mapping[str, Sequence[Member]],
    columns: Mapping[str, int],
    folder: Path,
    *,
    with_silence: bool = True,
) -> Features:
    """The features of some sounds, out of the folder of a network.

    Args:
        rows: Folder or URI of the network's rows.
        members: Of the set, by sound id; several where a sound is the same for several keys.
        columns: Of the network, with their D.
        folder: Where they are kept.
        with_silence: Whether those that are digitally silent are among them.
    """
    found = Features(folder, columns)
    wanted = pa.array(list(members), pa.string())
    names = ["segment_id", "status", "reject_type", "silent", *columns]
    for uri in part_files(rows) if rows else ():
        for table in read_batches(uri, names):
            table = table.filter(pc.is_in(table["segment_id"], value_set=wanted))
            if not with_silence:
                table = table.filter(pc.invert(pc.fill_null(table["silent"], fill_value=False)))
            _take(found, table, members, columns)
    return found


def _take(
    found: Features, table: pa.Table, members: Mapping[str, Sequence[Member]], columns: Mapping[str, int]
) -> None:
    """Add rows of a network's folder."""
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


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
