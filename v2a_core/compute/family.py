"""What other processes take, as Linux tells it; elsewhere nothing is known."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Relative:
    """A process that another one has started, itself or through others.

    Attributes:
        parent: Its parent's id.
        command: Its command line, or what it calls itself.
        cpu_s: Seconds that it has computed so far.
        resident_bytes: Memory that it holds now; what it shares with others is counted in each.
    """

    parent: int
    command: str
    cpu_s: float
    resident_bytes: int


def descendants(pid: int) -> dict[int, Relative]:
    """What a process has started, and what those have started, and so on, by their ids."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        relative = _read(folder)
        if relative is not None:
            found[int(folder.name)] = relative
    return {child: relative for child, relative in found.items() if _descends(child, pid, found)}


def _read(folder: Path) -> Relative | None:
    """A process; None when it has ended."""
    try:
        # The name, in brackets, may hold anything, brackets and spaces included.
        fields = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return None
    return Relative(int(fields[1]), command, (int(fields[11]) + int(fields[12])) * _TICK_S, int(fields[21]) * _PAGE)


def _descends(child: int, pid: int, found: dict[int, Relative]) -> bool:
    while child in found:
        child = found[child].parent
        if child == pid:
            return True
    return False
