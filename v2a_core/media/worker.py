"""The decoder process: reads requests from one pipe, writes results to another, and dies with its parent.

Started by `media/guard.py`. It imports decoding and nothing else; messages are pickles of our own types between two
processes of one user. Each request runs in a thread of its own, which can open nothing but the files of the request.
"""

from __future__ import annotations

import errno
import fcntl
import importlib
import os
import pickle
import resource
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from v2a_core.media import confine
from v2a_core.media.types import MediaError

# Nothing more can be written: no fault of any file.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

DECODER = "v2a_core.media.decode:decode_source"

# ("ready", None) once, then ("item", what the function yields), ("failed", MediaError | OSError), ("memory", None) or
# ("end", None).
Message: TypeAlias = tuple[str, object]
# What a request names: the type of its argument is known to those who made the request.
Function: TypeAlias = Callable[[Any], Iterator[object]]


@dataclass(frozen=True)
class Call:
    """A request.

    Attributes:
        function: `module:function`; takes `argument` and yields results.
        argument: What it gets.
        reads: Absolute paths of the files it may read.
        writes: Absolute paths of the files, which exist, that it may write.
        stage: Of an error that the function did not expect.
    """

    function: str
    argument: object
    reads: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()
    stage: str = "decode"


def send(pipe: Connection, message: object) -> None:
    """Send an object; arrays travel as raw bytes beside the pickle, without a copy."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    raw = [buffer.raw() for buffer in buffers]
    pipe.send_bytes(pickle.dumps([len(part) for part in raw]))
    pipe.send_bytes(head)
    for part in raw:
        pipe.send_bytes(part)


def receive(pipe: Connection) -> Any:
    """Receive what `send` sent, of whatever type that was; its arrays are writable."""
    sizes = pickle.loads(pipe.recv_bytes())  # noqa: S301 (from our own process)
    head = pipe.recv_bytes()
    buffers = []
    for size in sizes:
        buffer = np.empty(size, np.uint8)  # a bytearray would be zeroed first
        pipe.recv_bytes_into(buffer)
        buffers.append(buffer)
    return pickle.loads(head, buffers=buffers)  # noqa: S301 (from our own process)


def main() -> None:
    """Serve requests until the parent closes the pipe.

    Arguments: file descriptors, memory limit, whether to confine, a function to load before the first request.
    """
    requests, results, lifeline, memory_limit_mb, is_confined, function = sys.argv[1:7]
    _die_with_parent(int(lifeline))
    _limit_memory(int(memory_limit_mb))
    load(function)
    if is_confined == "confined":
        confine.work_nowhere()
        confine.forbid_network()
    inbox, outbox = Connection(int(requests), writable=False), Connection(int(results), readable=False)
    send(outbox, ("ready", None))
    while True:
        try:
            call: Call = receive(inbox)
        except EOFError:
            return
        served: list[bool] = []
        thread = threading.Thread(target=_serve, args=(call, outbox, is_confined == "confined", served))
        thread.start()
        thread.join()
        if not served:  # nobody listens any more, or the function does not exist: it was printed
            sys.exit(1)


def _serve(call: Call, outbox: Connection, is_confined: bool, served: list[bool]) -> None:
    """Answer a request; what it needs is imported before it can open nothing else."""
    function = load(call.function)
    if is_confined:
        confine.confine_thread(call.reads, call.writes)
    for message in _answers(function, call):
        send(outbox, message)
    served.append(True)


def load(function: str) -> Function:
    """The function behind `module:function`."""
    module, _, name = function.partition(":")
    loaded: Function = getattr(importlib.import_module(module), name)
    return loaded


def _answers(function: Function, call: Call) -> Iterator[Message]:
    try:
        for item in function(call.argument):
            yield "item", item
    except MediaError as error:
        yield "failed", error
        return
    except MemoryError:
        # What an allocation that failed half way leaves behind is not to be trusted: the parent starts a new process.
        yield "memory", None
        return
    except Exception as error:  # noqa: BLE001 (decoders raise anything on broken files; it becomes a reject with its type)
        if isinstance(error, OSError) and error.errno in FULL:
            yield "failed", OSError(error.errno, os.strerror(error.errno), error.filename)
            return
        yield "failed", MediaError(call.stage, type(error).__name__, str(error) or type(error).__name__)
        return
    yield "end", None


def _die_with_parent(lifeline: int) -> None:
    """Have the kernel end this process when the parent's end of a pipe closes, even in the middle of native code.

    Not PR_SET_PDEATHSIG: that fires when the *thread* that started this process ends.
    """
    if not hasattr(fcntl, "F_SETOWN"):
        return
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)


def _limit_memory(limit_mb: int) -> None:
    """Bound private memory. A quarter above the limit the parent watches: it ends the process with a better message."""
    limit = limit_mb * 2**20 * 5 // 4
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file of gigabytes for every broken video helps nobody


if __name__ == "__main__":
    main()
