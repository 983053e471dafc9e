"""What a process that computes with torch on a CPU wants set."""

from __future__ import annotations

import contextlib
import contextvars
import ctypes
import functools
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Piece = TypeVar("Piece")
Result = TypeVar("Result")

_KEPT_BYTES = 256 * 2**20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


class ScopedThreads(ThreadPoolExecutor):
    """Threads in which holds what holds where they are given work: context variables, such as how files are reached."""

    def submit(
        self, fn: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """As in any pool of threads."""
        return super().submit(functools.partial(contextvars.copy_context().run, fn, *args, **kwargs))


@contextlib.contextmanager
def every(seconds: float, work: Callable[[], None], name: str) -> Iterator[Callable[[], None]]:
    """Do something again and again in a thread of its own, until the block ends.

    Args:
        seconds: Between two times.
        work: What to do; its first error ends it.
        name: Of the thread.

    Yields:
        What raises that error, if there was one.
    """
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(seconds):
            work()

    with ScopedThreads(1, name) as threads:
        repeating = threads.submit(repeat)
        try:
            yield lambda: repeating.result() if repeating.done() else None
        finally:
            ended.set()


def prepare_torch(threads: int) -> None:
    """Set the threads of torch, and keep freed memory at hand.

    A model allocates and frees the same large blocks step after step. glibc's default is to return each to the system,
    which zeroes it page by page when it is asked for again: a tenth of a generator's time on a CPU.

    Args:
        threads: Of one operator.
    """
    import torch

    torch.set_num_threads(threads)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD) if hasattr(libc, "mallopt") else ():  # musl has none
            libc.mallopt(option, _KEPT_BYTES)


def side_by_side(work: Callable[[Piece], Result], pieces: Iterable[Piece], lanes: int) -> list[Result]:
    """Work on pieces in threads of Python, each with its share of torch's threads.

    Threads that share an operator wait for the slowest of them at the end of each one, and on cores that also do
    something else one is always late. Lanes wait for each other once.

    Args:
        work: Called from several threads, with torch's defaults for a new thread: gradients on, no autocast.
        pieces: What is worked on.
        lanes: Pieces at once, at most; with one, `work` is called here, with all of torch's threads.

    Returns:
        What `work` returned, in the order of the pieces.
    """
    import torch

    if lanes <= 1:
        return [work(piece) for piece in pieces]
    threads = torch.get_num_threads()

    def run(piece: Piece) -> Result:
        torch.set_num_threads(max(1, threads // lanes))
        return work(piece)

    futures = [_pool(lanes).submit(run, piece) for piece in pieces]
    try:
        return [future.result() for future in futures]
    finally:
        # After an error, too, no lane works on when this has returned.
        for future in futures:
            future.cancel()
        wait(futures)
        torch.set_num_threads(threads)  # some libraries, and threads to come, take the number that was set last


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that stay.

    glibc gives each new thread an arena that lies free, in a process of many threads another one each time: the large
    blocks of a step would be spread over all of them, and asked of the system again and again.
    """
    return ThreadPoolExecutor(threads)
