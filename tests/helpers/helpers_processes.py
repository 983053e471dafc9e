"""Jobs in processes of their own."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable


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
