"""Who holds a lease: a process of a machine, and whether it is still there."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
from pathlib import Path
from typing import TypedDict


class Holder(TypedDict):
    """A process that holds a lease.

    Attributes:
        host: Name of its machine.
        machine: Boot of the machine and its namespace of processes: where the number of a process means something.
        process: Its number there.
        started: When it started, in ticks since the boot; another process may have had the number before.
    """

    host: str
    machine: str
    process: int
    started: str


def this_process() -> Holder:
    """The process that asks."""
    number = os.getpid()
    return {"host": platform.node(), "machine": _machine(), "process": number, "started": _started(number)}


def is_gone(holder: Holder) -> bool:
    """Whether a process is known to have ended; False too when that cannot be known from here."""
    if not _machine() or holder.get("machine") != _machine():
        return False
    number = holder.get("process", 0)
    started = _started(number)
    return not started or started != holder.get("started")


@functools.cache
def _machine() -> str:
    """Empty where the system does not tell."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    return ""


def _started(process: int) -> str:
    """When a process started; empty when there is none of this number, or only what is left of one."""
    with contextlib.suppress(OSError, IndexError):
        # The name in parentheses may hold anything, the rest is numbers: state, parent, ..., start time (proc(5)).
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    return ""
