"""What has come of each source of a run: a byte a source, and counts that are always there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from v2a_core.compute import ids as ids_of
from v2a_core.compute.ids import Ids, IdTable, Positions

# A source arrives with its first row; it may be good, rejected or missing, or wait for the next run.
ARRIVED, GOOD, REJECTED, MISSING, WAITING = 1, 2, 4, 8, 16
BAD = REJECTED | WAITING
ENDED = GOOD | REJECTED | MISSING

Marks = npt.NDArray[np.uint8]


class Arrivals:
    """Marks of sources.

    Args:
        ids: The sources that are expected; others may come, and take more room.
        names: Of the expected ones, for people.
    """

    def __init__(self, ids: Ids | None = None, names: Sequence[str] = ()) -> None:
        ids = ids_of.none() if ids is None else ids
        self._table, self._names = IdTable(ids), names
        self._marks = np.zeros(len(ids), np.uint8)
        self._others: dict[bytes, int] = {}
        # How many sources have each set of marks.
        self._counts = np.zeros(256, np.int64)
        self._counts[0] = len(ids)

    def mark(self, ids: Ids, marks: Marks) -> None:
        """Mark the sources of rows.

        Args:
            ids: Of each row.
            marks: What each row adds to the marks of its source.
        """
        at = self._table.find(ids)
        known = at >= 0
        places = np.unique(at[known])
        before = self._marks[places]
        np.bitwise_or.at(self._marks, at[known], marks[known])
        self._counts -= np.bincount(before, minlength=256)
        self._counts += np.bincount(self._marks[places], minlength=256)
        for row in np.flatnonzero(~known):
            identity = ids[row].tobytes()
            before_row = self._others.get(identity)
            if before_row is not None:
                self._counts[before_row] -= 1
            self._others[identity] = (before_row or 0) | int(marks[row])
            self._counts[self._others[identity]] += 1

    def count(self, marks: int) -> int:
        """Sources that have one of these marks."""
        return int(self._counts[np.flatnonzero(np.arange(256) & marks)].sum())

    def of(self, ids: Ids) -> Marks:
        """The marks of sources."""
        at = self._table.find(ids)
        found = np.zeros(len(ids), np.uint8)
        found[at >= 0] = self._marks[at[at >= 0]]
        for row in np.flatnonzero(at < 0):
            found[row] = self._others.get(ids[row].tobytes(), 0)
        return found

    def awaited(self) -> Iterator[str]:
        """Names of the expected sources that have not arrived."""
        places: Positions = np.flatnonzero(self._marks == 0)
        return (self._names[place] for place in places)
