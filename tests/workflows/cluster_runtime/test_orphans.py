"""Nothing of a run is left when Ray is gone."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import textwrap
import time

WORKER = """
    import concurrent.futures, threading
    from workflows.cluster_runtime.orphans import end_with_parent

    end_with_parent()
    concurrent.futures.ThreadPoolExecutor().submit(threading.Event().wait)  # Python's shutdown waits for it
"""
PARENT = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', sys.argv[1]]).pid, flush=True); input()"


def test_a_worker_that_cannot_shut_down_ends_with_its_parent() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, textwrap.dedent(WORKER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    time.sleep(2)
    assert is_running(worker)
    parent.kill()
    parent.communicate()
    end = time.monotonic() + 15
    while is_running(worker):
        assert time.monotonic() < end, "the worker outlives its parent"
        time.sleep(0.1)


def is_running(process: int) -> bool:
    with contextlib.suppress(OSError), open(f"/proc/{process}/stat", encoding="utf-8") as file:
        return file.read().rpartition(")")[2].split()[0] not in "ZX"
    return False
