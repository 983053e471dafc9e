"""Processes beside this one, which end when it does."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any


def process_pool(
    processes: int, initializer: Callable[..., None] | None = None, initargs: tuple[Any, ...] = ()
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


def _begin(initializer: Callable[..., None] | None, initargs: tuple[Any, ...]) -> None:
    # A worker holds both ends of the queue that it waits on, so it does not see that nobody writes any more.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if initializer is not None:
        initializer(*initargs)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
