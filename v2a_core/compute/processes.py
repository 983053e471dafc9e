"""Processes beside this one, which end when it does."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor


def process_pool(
    processes: int, initializer: Callable[..., None] | None = None, initargs: tuple[object, ...] = ()
) -> ProcessPoolExecutor:
    """A pool of fresh processes (none inherits threads or locks of this one), which end with this one, even if killed.

    Args:
        processes: How many.
        initializer: Called first in each.
        initargs: Its arguments.
    """
    return ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(initializer, initargs),
    )


def _begin(initializer: Callable[..., None] | None, initargs: tuple[object, ...]) -> None:
    # A worker holds both ends of the queue that it waits on, so it does not see that nobody writes any more.
    end_with_parent()
    if initializer is not None:
        initializer(*initargs)


def end_with_parent() -> None:
    """In a process of multiprocessing: end at once when the one that started it has ended, even if it was killed."""
    threading.Thread(target=_wait_and_end, daemon=True).start()


def _wait_and_end() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
