"""What processes hold, as the kernel tells it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def memory_mb(pids: Iterable[int], kind: str = "Pss") -> float:
    """A figure of the kernel's summary, summed over processes; one that has ended counts nothing.

    `Pss` is the proportional set size: memory that n processes share counts 1/n in each.
    """
    total = 0.0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        total += sum(float(line.split()[1]) for line in lines if line.startswith(f"{kind}:")) / 1024
    return total


def inheritors(variable: str, value: str) -> list[int]:
    """Processes with a mark in their environment: also those that end up as children of init, as Ray's may."""
    wanted = f"{variable}={value}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue  # it ended, or is somebody else's
    return found
