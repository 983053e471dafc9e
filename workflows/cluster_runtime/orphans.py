"""A worker ends with the raylet that started it, whatever its threads wait for."""

from __future__ import annotations

import os
import threading
import time

CHECK_S = 2.0


def end_with_parent() -> None:
    """End this process at once when the process that started it is gone.

    A worker of Ray Train that is stopped in the middle of a checkpoint's report can wait in Python's own shutdown for a
    thread that puts into a queue which nobody reads any more. Ray has let go of the process by then, and it would stay
    for ever, with all of its memory.
    """
    threading.Thread(target=_watch, args=(os.getppid(),), name="end with parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(CHECK_S)
    os._exit(1)
