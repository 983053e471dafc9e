"""Peak memory of a command with all processes that it starts: `python benchmarks/memory.py v2a demo --output out`.

Proportional set sizes are summed (memory that n processes share counts 1/n in each), every half second. Processes are
found by a mark in their environment, which they inherit: also those that end up as children of init, as Ray's may.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

INTERVAL_S = 0.5
MARK = "V2A_MEMORY_MARK"


def main(command: list[str]) -> int:
    """Run the command, print its peak, and give its exit code."""
    mark = uuid.uuid4().hex
    started = time.monotonic()
    peak, at_s, processes = 0.0, 0.0, 0
    with subprocess.Popen(command, env={**os.environ, MARK: mark}) as process:
        while process.poll() is None:
            sizes = [size for pid in marked(mark) if (size := proportional_mb(pid)) is not None]
            if sum(sizes) > peak:
                peak, at_s, processes = sum(sizes), time.monotonic() - started, len(sizes)
            time.sleep(INTERVAL_S)
    wall_s = time.monotonic() - started
    print(f"memory: peak {peak:.0f} MB in {processes} processes after {at_s:.0f} s of {wall_s:.0f} s", flush=True)
    return process.returncode


def marked(mark: str) -> list[int]:
    """Processes that inherited the mark."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue  # it ended, or is somebody else's
    return found


def proportional_mb(pid: int) -> float | None:
    """Its share of memory; None when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), None)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    raise SystemExit(main(sys.argv[1:]))
