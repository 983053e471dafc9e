"""Jobs in processes of their own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path


def wait_until(condition: Callable[[], object], process: subprocess.Popen[bytes], seconds: float = 300.0) -> None:
    """Until something holds, or the process has ended."""
    deadline = time.monotonic() + seconds
    while not condition() and process.poll() is None:
        assert time.monotonic() < deadline, f"still waiting after {seconds:g} s for {' '.join(map(str, process.args))}"
        time.sleep(0.02)


def job_environment(**more: str) -> dict[str, str]:
    """Variables of a job that starts a Ray of its own or joins a cluster that this process started."""
    # How to prove oneself to that cluster is kept; what else Ray noted here is of no use there.
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_") or "_AUTH_" in key}
    return {**kept, "OMP_NUM_THREADS": "1", **more}


def below(pid: int) -> list[int]:
    """The processes that a process started, directly or not."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = [child for child, parent in parents.items() if parent == pid]
    return found + [deeper for child in found for deeper in below(child)]


def command_of(pid: int) -> str:
    """The command line of a process; empty when it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def in_a_thread(function):
    """What a function returns in a fresh thread, as Ray runs some of what it is given."""
    returned = []
    thread = threading.Thread(target=lambda: returned.append(function()))
    thread.start()
    thread.join()
    return returned[0]


def with_environment(entry: str) -> list[str]:
    """The processes whose environment has an entry, as their command lines: what a run and Ray's workers of it are."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if entry.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found
