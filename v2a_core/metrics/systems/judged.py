"""What a judge heard of a system and of the references, as columns of evaluated rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from v2a_core.metrics.base import Rows
from v2a_core.metrics.extractors.verdicts import judge_kinds
from v2a_core.metrics.systems.features import Folders, Member
from v2a_core.outputs.ledger import part_files, read_batches

_COLUMNS = ["segment_id", "silent", "verdict"]
Members = Mapping[str, Sequence[Member]]


@dataclass(frozen=True)
class Judged:
    """The verdicts on a system and on the references.

    Attributes:
        made: The class that was heard in each sound, by its key.
        reference: The same of the references; of silence nothing.
        kinds: The classes that the judge knows.
    """

    made: Mapping[str, str] = field(default_factory=dict)
    reference: Mapping[str, str] = field(default_factory=dict)
    kinds: frozenset[str] = frozenset()

    def joined(self, rows: Rows, key: str) -> dict[str, Sequence[Any]]:
        """Rows with what metrics need of the verdicts: all null without a judge.

        Args:
            rows: Columns of evaluated rows, their labels among them.
            key: The column that has the keys.
        """
        keys = rows[key]
        return {
            **rows,
            "judged_class": [label if label in self.kinds else None for label in rows["label"]],
            "verdict": [self.made.get(name) for name in keys],
            "reference_verdict": [self.reference.get(name) for name in keys],
        }


def read_judged(folders: Folders, systems: Mapping[str, Members], reference: Members) -> dict[str, Judged]:
    """The verdicts on each system, by its name.

    Args:
        folders: Of the judge.
        systems: The sounds of each system, by its name.
        reference: The references' sounds.
    """
    kinds = judge_kinds(folders.weights)
    heard, made = _read(folders.reference, reference, with_silence=False), _read(folders.made, _all(systems))
    return {
        name: Judged(
            {member.key: made[sound] for sound, of_sound in members.items() if sound in made for member in of_sound},
            {member.key: heard[sound] for sound, of in reference.items() if sound in heard for member in of},
            kinds,
        )
        for name, members in systems.items()
    }


def _all(systems: Mapping[str, Members]) -> set[str]:
    return {sound for members in systems.values() for sound in members}


def _read(rows: str, wanted: Mapping[str, object] | set[str], *, with_silence: bool = True) -> dict[str, str]:
    """The verdict on each sound that has one, by its id."""
    found, ids = dict[str, str](), pa.array(sorted(wanted), pa.string())
    for uri in part_files(rows) if rows else ():
        for table in read_batches(uri, _COLUMNS):
            kept = pc.and_(pc.is_in(table["segment_id"], value_set=ids), pc.is_valid(table["verdict"]))
            if not with_silence:
                kept = pc.and_not(kept, pc.fill_null(table["silent"], fill_value=False))
            table = table.filter(kept)
            found |= zip(table["segment_id"].to_pylist(), table["verdict"].dictionary_encode().to_pylist(), strict=True)
    return found
