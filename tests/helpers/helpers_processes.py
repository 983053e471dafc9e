"""Jobs in processes of their own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], process: subprocess.Popen[bytes], seconds: float = 300.0) -> None:
    """Until something holds, or the process has ended."""
    deadline = time.monotonic() + seconds
    while not condition() and process.poll() is None:
        assert time.monotonic() < deadline, f"still waiting after {seconds:g} s for {' '.join(map(str, process.args))}"
        time.sleep(0.02)
