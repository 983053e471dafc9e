"""Rows that have arrived are committed in time, also while no others arrive."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from v2a_core.compute.threads import ScopedThreads
from v2a_core.outputs.parts import PartWriter

LOOK_S = 5.0


@contextlib.contextmanager
def commit_in_time(writer: PartWriter) -> Iterator[Callable[[], None]]:
    """Commit what is due in the block, every `LOOK_S`.

    Args:
        writer: Of the rows.

    Yields:
        What raises the error that the last commit ended with, if it did.
    """
    ended = threading.Event()

    def commit() -> None:
        while not ended.wait(LOOK_S):
            writer.flush_if_due()

    with ScopedThreads(1, "commit") as threads:
        committing = threads.submit(commit)
        try:
            yield lambda: committing.result() if committing.done() else None
        finally:
            ended.set()
