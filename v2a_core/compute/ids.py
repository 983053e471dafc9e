"""Ids as numbers: 16 bytes each, compared all at once, so that millions of them fit in memory.

The ids of sources are 32 hexadecimal digits already; any other text is taken by its hash. An array of ids is uint64
(n, 2).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ids: TypeAlias = npt.NDArray[np.uint64]
Positions: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]

_DIGITS, _BYTES = 32, 16
_NO_DIGIT = 255
_VALUES = np.full(256, _NO_DIGIT, np.uint8)
_VALUES[np.frombuffer(b"0123456789abcdef", np.uint8)] = range(16)
_RECENT = 2**16  # ids of a growing set that are not sorted yet
_PIECE = 2**20  # ids that are looked up at once


def pack(ids: pa.Array | pa.ChunkedArray | Sequence[str]) -> Ids:
    """Ids as numbers, in their order."""
    texts = ids if isinstance(ids, pa.Array | pa.ChunkedArray) else pa.array(ids, pa.string())
    chunks = texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]
    return np.concatenate([none(), *map(_pack, chunks)])


def pack_digests(digests: bytes) -> Ids:
    """Ids out of their bytes, 16 of each."""
    return np.frombuffer(digests, np.uint64).reshape(-1, 2)


def unpack(ids: Ids) -> list[str]:
    """The hexadecimal digits of ids that had some."""
    digits = np.ascontiguousarray(ids).tobytes().hex()
    return [digits[start : start + _DIGITS] for start in range(0, len(digits), _DIGITS)]


def none() -> Ids:
    """No ids."""
    return np.empty((0, 2), np.uint64)


def order(ids: Ids) -> Positions:
    """Positions that sort ids; equal ones keep their order."""
    sorting: Positions = np.lexsort((ids[:, 1], ids[:, 0]))
    return sorting


def starts(ordered: Ids) -> Flags:
    """Of sorted ids, which differ from the one before."""
    new = np.ones(len(ordered), bool)
    np.any(ordered[1:] != ordered[:-1], axis=1, out=new[1:])
    return new


def all_differ(ids: Ids) -> bool:
    """Whether no id stands twice, told by first halves alone, which takes little memory; False also by their chance."""
    halves = np.sort(ids[:, 0])
    return not bool((halves[1:] == halves[:-1]).any())


class IdTable:
    """Where ids are among others.

    Args:
        ids: The others; of equal ones the first is found.
        values: What is found of each, whole numbers from 0 on; None: its position.
    """

    def __init__(self, ids: Ids, values: Positions | None = None) -> None:
        sorting = order(ids)
        self._values = sorting if values is None else values[sorting]
        self._high, self._low = ids[sorting, 0], ids[sorting, 1]

    def __len__(self) -> int:
        return len(self._high)

    def with_values(self) -> tuple[Ids, Positions]:
        """They, sorted, and what is found of each."""
        return np.stack([self._high, self._low], axis=1), self._values

    def find(self, ids: Ids) -> Positions:
        """The value of each, -1 where there is none, int64 (n,)."""
        pieces = [self._find(ids[start : start + _PIECE]) for start in range(0, len(ids), _PIECE)]
        return pieces[0] if len(pieces) == 1 else np.concatenate([np.empty(0, np.int64), *pieces])

    def _find(self, ids: Ids) -> Positions:
        found = np.full(len(ids), -1, np.int64)
        at = np.searchsorted(self._high, ids[:, 0])
        left = np.arange(len(ids))
        while len(left):
            left = left[at[left] < len(self)]
            left = left[self._high[at[left]] == ids[left, 0]]
            same = self._low[at[left]] == ids[left, 1]
            found[left[same]] = self._values[at[left[same]]]
            left = left[~same]  # another id with the same first half: the next one
            at[left] += 1
        return found


class GrowingIds:
    """Ids that are numbered as they come: the last ones, and sorted runs of the others, each at least twice the next.

    Args:
        ids: What is in it from the start.
    """

    def __init__(self, ids: Ids | None = None) -> None:
        self._recent: dict[bytes, int] = {}
        self._runs: list[IdTable] = []
        self._sorted = 0
        if ids is not None and len(ids):
            self.number(ids)

    def __len__(self) -> int:
        return self._sorted + len(self._recent)

    def add(self, ids: Ids) -> Flags:
        """Take ids in; tells which of them are new, bool (n,)."""
        before = len(self)
        numbers = self.number(ids)
        new = numbers >= before
        # Of those that come twice at once, the first one.
        new[np.flatnonzero(new)[1:]] = np.diff(np.maximum.accumulate(numbers[new])) > 0
        return new

    def number(self, ids: Ids) -> Positions:
        """Take ids in; the number of each: new ones are numbered in their order."""
        numbers = np.full(len(ids), -1, np.int64)
        for run in self._runs:
            left = np.flatnonzero(numbers < 0)
            numbers[left] = run.find(ids[left])
        content = np.ascontiguousarray(ids).tobytes()
        for row in np.flatnonzero(numbers < 0):
            identity = content[row * _BYTES : (row + 1) * _BYTES]
            numbers[row] = self._recent.setdefault(identity, len(self))
        if len(self._recent) >= _RECENT:
            self._keep_recent()
        return numbers

    def _keep_recent(self) -> None:
        ids, values = pack_digests(b"".join(self._recent)), np.array(list(self._recent.values()), np.int64)
        self._sorted += len(ids)
        self._recent.clear()
        while self._runs and len(self._runs[-1]) <= 2 * len(ids):
            earlier = self._runs.pop().with_values()
            ids, values = np.concatenate([earlier[0], ids]), np.concatenate([earlier[1], values])
        self._runs.append(IdTable(ids, values))


def _pack(texts: pa.Array) -> Ids:
    """Of one chunk."""
    if not len(texts):
        return none()
    lengths = pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False)
    regular = np.flatnonzero(lengths == _DIGITS)
    plain = texts if len(regular) == len(texts) else texts.take(pa.array(regular))
    packed = np.empty((len(texts), _BYTES), np.uint8)
    digits = _VALUES[_characters(plain)]
    packed[regular] = digits[:, ::2] << 4 | digits[:, 1::2]
    strange = np.ones(len(texts), bool)
    strange[regular] = (digits == _NO_DIGIT).any(axis=1)
    for row in np.flatnonzero(strange):
        text = texts[row].as_py() or ""
        packed[row] = np.frombuffer(hashlib.blake2b(text.encode(), digest_size=_BYTES).digest(), np.uint8)
    return packed.view(np.uint64)


def _characters(texts: pa.Array) -> npt.NDArray[np.uint8]:
    """The bytes of texts of 32 each, uint8 (n, 32)."""
    if not len(texts):
        return np.empty((0, _DIGITS), np.uint8)
    width = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    _, offsets, content = texts.buffers()
    first = np.frombuffer(offsets, width)[texts.offset]
    return np.frombuffer(content, np.uint8, len(texts) * _DIGITS, int(first)).reshape(-1, _DIGITS)
