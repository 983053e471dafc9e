"""Peak memory of a command with all processes that it starts: `python benchmarks/memory.py v2a demo --output out`.

Proportional set sizes are summed every half second, over all processes that inherited a mark in their environment.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid

from processes import inheritors, memory_mb

INTERVAL_S = 0.5
MARK = "V2A_MEMORY_MARK"


def main(command: list[str]) -> int:
    """Run the command, print its peak, and give its exit code."""
    mark = uuid.uuid4().hex
    started = time.monotonic()
    peak, at_s, processes = 0.0, 0.0, 0
    with subprocess.Popen(command, env={**os.environ, MARK: mark}) as process:
        while process.poll() is None:
            family = inheritors(MARK, mark)
            if (held := memory_mb(family)) > peak:
                peak, at_s, processes = held, time.monotonic() - started, len(family)
            time.sleep(INTERVAL_S)
    wall_s = time.monotonic() - started
    print(f"memory: peak {peak:.0f} MB in {processes} processes after {at_s:.0f} s of {wall_s:.0f} s", flush=True)
    return process.returncode


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    raise SystemExit(main(sys.argv[1:]))
