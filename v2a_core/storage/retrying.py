"""Trying again: what is worth it, how long to wait, and how often it happened."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity

T = TypeVar("T")

_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 20.0
# By name, so that no HTTP library is imported: the transfer was cut or stalled, or credentials were read anew.
_TRANSIENT = frozenset(
    {
        "ClientPayloadError",
        "ContentLengthError",
        "ExpiredCredentialsError",
        "FSTimeoutError",
        "IncompleteRead",
        "IncompleteReadError",
        "ReadTimeoutError",
        "ResponseParserError",
        "ResponseStreamingError",
        "ServerDisconnectedError",
        "ShortReadError",
    }
)


class ShortReadError(OSError):
    """Fewer bytes arrived than the file has."""


@dataclass(frozen=True)
class Traffic:
    """What this process has moved.

    Attributes:
        bytes_read: Bytes fetched from object stores.
        retries: Requests and transfers that were tried again.
    """

    bytes_read: int = 0
    retries: int = 0

    def plus(self, other: Traffic) -> Traffic:
        """Both together."""
        return Traffic(self.bytes_read + other.bytes_read, self.retries + other.retries)

    def since(self, earlier: Traffic) -> Traffic:
        """What was moved since an earlier look."""
        return Traffic(self.bytes_read - earlier.bytes_read, self.retries - earlier.retries)


class _Counter:
    """Counts from several threads: requests run on the thread of fsspec's event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._traffic = Traffic()

    def add(self, *, bytes_read: int = 0, retries: int = 0) -> None:
        with self._lock:
            now = self._traffic
            self._traffic = Traffic(now.bytes_read + bytes_read, now.retries + retries)

    def look(self) -> Traffic:
        with self._lock:
            return self._traffic


_counter = _Counter()
count, traffic = _counter.add, _counter.look


def is_transient(error: BaseException) -> bool:
    """Whether the same request may work a moment later: a reset, a time-out, a body that was cut."""
    if isinstance(error, (ConnectionError, TimeoutError)):
        return True
    return bool(_TRANSIENT & {kind.__name__ for kind in type(error).__mro__})


def retry(
    operation: Callable[[], T], attempts: int, sleep: Callable[[float], None] = time.sleep, until_s: float = math.inf
) -> T:
    """Run an operation that can be repeated, again after transient errors.

    The waits double from a second to twenty, each shortened at random, so that a thousand workers that were slowed
    down at once do not come back at once (full jitter, as in the AWS Architecture Blog, "Exponential Backoff And
    Jitter"). None begins that would end after `until_s` seconds.

    Raises:
        Exception: What the last attempt, or one that is not worth repeating, raised.
    """
    again = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_worth_it),
        wait=tenacity.wait_random_exponential(multiplier=_FIRST_WAIT_S, max=_LONGEST_WAIT_S),
        stop=tenacity.stop_after_attempt(attempts) | tenacity.stop_before_delay(until_s),
        before_sleep=lambda _: count(retries=1),
        sleep=sleep,
        reraise=True,
    )
    return again(operation)


def _is_worth_it(error: BaseException) -> bool:
    return isinstance(error, Exception) and is_transient(error)
