"""What is wrong with a system's files: counted, and listed by id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from v2a_core.metrics.systems.places import LookedAt

LENGTH_TOLERANCE_S = 0.1
_LISTED = 1000  # ids of a kind in the JSON
_SHOWN = 5  # in the table


@dataclass(frozen=True)
class Files:
    """The files of a system.

    Attributes:
        count: How many it has.
        missing: Ids of references, or without them of other systems, of which it has none.
        extra: Ids that are no reference's; they are left out of all numbers.
        unreadable: Why files cannot be heard, by id.
        silent: Ids of digitally silent ones, which are heard like all others.
        other_rates: Sample rates that differ from that of most of its files, Hz, by id.
        other_lengths: Lengths that differ from the reference's, or from most of its files', in seconds, by id.
    """

    count: int
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)
    silent: tuple[str, ...] = ()
    other_rates: Mapping[str, int] = field(default_factory=dict)
    other_lengths: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: a number of each kind, and at most 1000 of its ids."""
        kinds: dict[str, Any] = {
            "missing": list(self.missing),
            "extra": list(self.extra),
            "unreadable": dict(self.unreadable),
            "silent": list(self.silent),
            "other_rates": dict(self.other_rates),
            "other_lengths": dict(self.other_lengths),
        }
        listed = {name: {"count": len(found), "ids": _first(found)} for name, found in kinds.items()}
        return {"count": self.count, **listed}


def inspect(
    found: Mapping[str, LookedAt], wanted: Mapping[str, LookedAt] | None, others: Iterable[str], heard_s: float
) -> Files:
    """What is wrong with a system's files.

    Args:
        found: Of the system, by id.
        wanted: The references, by id, when it has sounds for them; None: any id is right.
        others: Without references, the ids of all systems: what one has, the others miss.
        heard_s: What is behind that is not heard, so that its length does not matter.
    """
    whole = {key: item for key, item in found.items() if not item.error}
    rate = _most(item.sample_rate for item in whole.values())
    length_s = _most(round(min(item.length_s, heard_s), 1) for item in whole.values())
    expected = dict.fromkeys(whole, length_s)
    if wanted is not None:
        known = {key: item for key, item in wanted.items() if not item.error and item.place.source is None}
        expected |= {key: min(known[key].length_s, heard_s) for key in whole.keys() & known.keys()}
    lengths = {key: item.length_s for key, item in whole.items()}
    return Files(
        count=len(found),
        missing=tuple(sorted((set(others) if wanted is None else wanted.keys()) - found.keys())),
        extra=tuple(sorted(found.keys() - wanted.keys())) if wanted is not None else (),
        unreadable={key: item.error for key, item in sorted(found.items()) if item.error},
        silent=tuple(sorted(key for key, item in whole.items() if item.silent)),
        other_rates={key: item.sample_rate for key, item in sorted(whole.items()) if item.sample_rate != rate},
        other_lengths={
            key: round(found_s, 3)
            for key, found_s in sorted(lengths.items())
            if abs(min(found_s, heard_s) - expected[key]) > LENGTH_TOLERANCE_S
        },
    )


def files_to_markdown(files: Mapping[str, Files]) -> str:
    """A table of what was found, and the first ids of each kind."""
    kinds = ("missing", "extra", "unreadable", "silent", "other_rates", "other_lengths")
    lines = ["| system | files | " + " | ".join(kind.replace("_", " ") for kind in kinds) + " |"]
    lines.append("|---|---:|" + "---:|" * len(kinds))
    told = []
    for system, found in files.items():
        counts = " | ".join(str(len(getattr(found, kind))) for kind in kinds)
        lines.append(f"| {system} | {found.count} | {counts} |")
        for kind in kinds:
            ids = list(getattr(found, kind))
            if ids:
                more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
                told.append(f"- {system}, {kind.replace('_', ' ')}: {', '.join(ids[:_SHOWN])}{more}")
    return "\n".join([*lines, *(["", *told] if told else []), ""])


def _most(values: Iterable[float]) -> float:
    """The commonest value, the highest of several; 0 of none."""
    counts = Counter(values)
    return max(counts, key=lambda value: (counts[value], value), default=0)


def _first(found: Any) -> Any:
    return dict(list(found.items())[:_LISTED]) if isinstance(found, dict) else found[:_LISTED]
