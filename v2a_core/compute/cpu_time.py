"""Processor time of other processes, as Linux tells it; elsewhere nothing is known."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def descendants_cpu_s(pid: int, named: str) -> dict[int, float]:
    """Seconds that processes have computed so far, by their ids.

    Args:
        pid: Only what it has started, and what those have started, and so on.
        named: Only those with it in their command line.
    """
    parents, seconds = {}, {}
    for child, parent, spent_s in _processes():
        parents[child], seconds[child] = parent, spent_s
    return {
        child: spent_s
        for child, spent_s in seconds.items()
        if _descends(child, pid, parents) and named in _command(child)
    }


def _processes() -> Iterator[tuple[int, int, float]]:
    """Process, its parent, its seconds."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # The name, in brackets, may hold anything, brackets and spaces included.
            fields = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        yield int(folder.name), int(fields[1]), (int(fields[11]) + int(fields[12])) * _TICK_S


def _descends(child: int, pid: int, parents: dict[int, int]) -> bool:
    while child in parents:
        child = parents[child]
        if child == pid:
            return True
    return False


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
