"""SIGTERM, from `ray job stop` or a machine that goes away, ends a job as Ctrl-C does: what has arrived is written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


def interrupt_on_sigterm() -> None:
    """Raise KeyboardInterrupt in the main thread when this process is asked to end; asked again, it ends at once."""
    if _in_main_thread():
        signal.signal(signal.SIGTERM, _interrupt)


@contextmanager
def kept() -> Iterator[None]:
    """Keep the answer to SIGTERM. Ray's own ends its workers first, for which `ray job stop` does not wait."""
    mine = _in_main_thread() and signal.getsignal(signal.SIGTERM) is _interrupt
    yield
    if mine:
        signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise KeyboardInterrupt


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
