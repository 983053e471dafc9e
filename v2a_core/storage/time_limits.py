"""Waiting for what may never come back, for a while: a look at a dead mount, a request that nobody answers.

A thread that hangs in the kernel or in a library cannot be stopped. It can be left behind: what it was to do runs in a
spare thread, and whoever asked goes on when the time is over.
"""

from __future__ import annotations

import contextvars
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

T = TypeVar("T")

_BATCH_S = 0.05  # of an iterator, in one visit to the other thread: 25 us, to and fro

_Answer = tuple[Any, BaseException | None]


class _Spare:
    """A thread that does one thing after the other."""

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[Callable[[], Any]] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[_Answer] = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True, name="v2a-spare").start()

    def do(self, operation: Callable[[], Any], seconds: float) -> _Answer:
        """The result of an operation, or what it raised.

        Raises:
            queue.Empty: When it is not done in time; the thread is of no use any more.
        """
        self._asked.put(operation)
        return self._answers.get(timeout=seconds)

    def _work(self) -> None:
        while True:
            operation = self._asked.get()
            try:
                answer: _Answer = (operation(), None)
            except BaseException as error:  # noqa: BLE001 (raised again where it was asked for)
                answer = (None, error)
            self._answers.put(answer)
            del operation, answer  # what they hold is not kept until the next operation comes


_idle: list[_Spare] = []  # append and pop are atomic
os.register_at_fork(after_in_child=_idle.clear)  # threads do not come along


def within(seconds: float, what: str, operation: Callable[[], T]) -> T:
    """Run an operation, but do not wait longer than this for it.

    Args:
        seconds: How long.
        what: What it is, for the message.
        operation: Runs in another thread, in a copy of this one's context (how files are reached); is left alone there
            when the time is over.

    Raises:
        TimeoutError: When the time is over.
        Exception: What the operation raised.
    """
    try:
        spare = _idle.pop()
    except IndexError:
        spare = _Spare()
    context = contextvars.copy_context()
    try:
        value, error = spare.do(lambda: context.run(operation), seconds)
    except queue.Empty:
        raise TimeoutError(f"{what}: nothing came back within {seconds:g} s") from None
    _idle.append(spare)
    if error is not None:
        raise error
    return cast(T, value)


def iterate_within(seconds: float, what: str, items: Iterator[T]) -> Iterator[T]:
    """The items of an iterator, made in another thread, each in bounded time.

    Raises:
        TimeoutError: When one takes longer.
        Exception: What the iterator raised.
    """
    while True:
        batch, more = within(seconds, what, lambda: _some(items))
        yield from batch
        if not more:
            return


def _some(items: Iterator[T]) -> tuple[list[T], bool]:
    """The next items, as many as come quickly, and whether there may be more."""
    batch: list[T] = []
    until = time.monotonic() + _BATCH_S
    for item in items:
        batch.append(item)
        if time.monotonic() > until:
            return batch, True
    return batch, False
