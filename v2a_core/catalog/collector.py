"""Sources and rejects as a listing finds them, each place once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from v2a_core.catalog.source import Source, place, source_keys
from v2a_core.catalog.sources import CHUNK, Sources, columns
from v2a_core.compute import ids as ids_of
from v2a_core.compute.ids import GrowingIds, Ids
from v2a_core.media.types import MediaError
from v2a_core.storage.public import public


class _Found(NamedTuple):
    source: Source
    error: MediaError | None
    place: str | None


class Collector:
    """Of several that name one place, the first counts. What is added waits until many can be sorted out at once.

    Attributes:
        rejects: What cannot be processed, and why.
        duplicates: How often something was named again.
        relabelled: Rows of tables that name something again, with other labels, since somebody took them from here.
    """

    def __init__(self) -> None:
        self.rejects: list[tuple[Source, MediaError]] = []
        self.duplicates = 0
        self.relabelled: list[str] = []
        self._waiting: list[_Found] = []
        self._known = GrowingIds()
        self._said: list[npt.NDArray[np.int64]] = []  # of each known one, a hash of its labels
        self._chunks: list[pa.Table] = []
        self._keys: list[Ids] = []

    def add(self, source: Source, error: MediaError | None = None, place: str | None = None) -> None:
        """Take a source in.

        Args:
            source: The source.
            error: Why it cannot be processed.
            place: The row of a table that names it.
        """
        self._waiting.append(_Found(source, error, place))
        if len(self._waiting) >= CHUNK:
            self.settle()

    def settle(self) -> None:
        """Sort out what waits."""
        waiting, self._waiting = self._waiting, []
        keys = ids_of.pack_digests(source_keys(place(found.source) for found in waiting))
        known = len(self._known)
        numbers = self._known.number(keys)
        first = np.zeros(len(waiting), bool)
        fresh = np.flatnonzero(numbers >= known)
        first[fresh[np.unique(numbers[fresh], return_index=True)[1]]] = True
        said = np.array([_said(found.source) for found in waiting], np.int64)
        self._said.append(said[first])
        self._note_again([waiting[row] for row in np.flatnonzero(~first)], said[~first], numbers[~first])
        named_first = [waiting[row] for row in np.flatnonzero(first)]
        self.rejects += [(found.source, found.error) for found in named_first if found.error is not None]
        good = first & np.array([found.error is None for found in waiting], bool)
        if good.any():
            self._chunks.append(columns([waiting[row].source for row in np.flatnonzero(good)]))
            self._keys.append(keys[good])

    def build(self) -> Sources:
        """The sources."""
        self.settle()
        return Sources(self._chunks, np.concatenate([ids_of.none(), *self._keys]))

    def __len__(self) -> int:
        """Things that were named, once or again."""
        self.settle()
        return len(self._known) + self.duplicates + len(self.relabelled)

    def _note_again(self, again: Sequence[_Found], said: npt.NDArray[np.int64], numbers: npt.NDArray[np.int64]) -> None:
        if not again:
            return
        differs = said != np.concatenate(self._said)[numbers]
        for found, other in zip(again, differs, strict=True):
            if found.place is not None and other:
                self.relabelled.append(f"{found.place}: {public(found.source.uri)}")
            else:
                self.duplicates += 1


def _said(source: Source) -> int:
    return hash((source.label, source.split, source.caption, source.prompt, source.negative_prompt))
