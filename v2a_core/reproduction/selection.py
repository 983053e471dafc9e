"""What of the paper is asked for, and which systems that needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from v2a_core.config import ConfigError
from v2a_core.reproduction.paper import EXTERNAL, FIGURES, OURS, REFERENCE, TABLES, Row, Table
from v2a_core.reproduction.systems import OURS_MAPPER, SYSTEMS, BundleRole, System

NOTHING = "none"
_LISTENED = (OURS, "via-text", "no-mapper")  # what listeners compare, beside the systems of others
_NOT_HERE = {2: "table 2 is a listening test: `v2a listening make` and `v2a listening score`"}

T = TypeVar("T")


@dataclass(frozen=True)
class Selection:
    """What is asked for.

    Attributes:
        tables: In their order.
        figures: Their numbers.
        only: Names of the rows that get numbers of ours; None: all.
    """

    tables: tuple[Table, ...]
    figures: tuple[int, ...]
    only: frozenset[str] | None = None

    def wants(self, row: Row) -> bool:
        """Whether a row gets numbers of ours."""
        return self.only is None or row.name in self.only

    def names(self) -> tuple[str, ...]:
        """Names of the rows that get numbers, each once."""
        return tuple(dict.fromkeys(row.name for table in self.tables for row in table.rows if self.wants(row)))

    def systems(self) -> tuple[System, ...]:
        """What makes sounds for these rows and figures, each once, in the order in which they are made."""
        wanted = set(self.names())
        if 5 in self.figures:
            wanted |= set(_LISTENED)
        return tuple(system for name, system in SYSTEMS.items() if name in wanted)

    def listened(self, external: Iterable[str]) -> tuple[str, ...]:
        """What listeners compare, ours first."""
        return (*_LISTENED, *external)

    def mappers(self) -> dict[BundleRole, tuple[str, ...]]:
        """The runs of the sweep that are trained on what each of the models sees."""
        found: dict[BundleRole, dict[str, None]] = {}
        for system in self.systems():
            if system.mapper is not None:
                found.setdefault(system.bundle, {})[system.mapper] = None
        if {3, 4, 7} & set(self.figures):
            found.setdefault("main", {})[OURS_MAPPER] = None
        return {role: tuple(names) for role, names in found.items()}


def select(tables: str, figures: str, only: Sequence[str]) -> Selection:
    """What was asked for on the command line.

    Args:
        tables: Numbers with commas between them, or `none`.
        figures: The same.
        only: Names of rows; none of them: all rows.

    Raises:
        ConfigError: For a table, figure or row that there is not; names those that there are.
    """
    chosen = tuple(TABLES[number] for number in _numbers("--tables", tables, TABLES))
    found = Selection(chosen, _numbers("--figures", figures, FIGURES), frozenset(only) if only else None)
    if not found.tables and not found.figures:
        raise ConfigError("--tables none and --figures none: there is nothing to do")
    known = {row.name: None for table in chosen for row in table.rows}
    for name in only:
        if name not in known:
            raise ConfigError(f"--only {name}: the rows of these tables are {', '.join(known) or 'none'}")
    return found


def check_external(names: Collection[str]) -> None:
    """Refuse sounds of systems that have no row.

    Raises:
        ConfigError: Naming those that have one.
    """
    for name in names:
        if name not in EXTERNAL:
            raise ConfigError(
                f"--system {name}: the systems of others in the paper are {' and '.join(EXTERNAL)}; compare any other "
                "with `v2a evaluate --system`"
            )


def is_made_here(name: str) -> bool:
    """Whether a row's sounds are made here: neither real ones nor those of another program."""
    return name not in (REFERENCE, *EXTERNAL)


def _numbers(option: str, given: str, known: Collection[int]) -> tuple[int, ...]:
    if given.strip().lower() in ("", NOTHING):
        return ()
    found = set()
    for text in given.split(","):
        number = int(text) if text.strip().isdigit() else -1
        if number not in known:
            listed = ", ".join(str(item) for item in sorted(known))
            more = f"; {_NOT_HERE[number]}" if option == "--tables" and number in _NOT_HERE else ""
            raise ConfigError(f"{option} {text.strip()!r}: those that are reproduced are {listed}{more}")
        found.add(number)
    return tuple(number for number in sorted(known) if number in found)
