"""The decoder's process as its parent sees it: started, asked, watched, ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO

from v2a_core.media import worker
from v2a_core.media.config import GuardSettings
from v2a_core.media.types import MediaError

_POLL_S = 0.1
_START_LIMIT_S = 120.0
# A killed process ends at once, unless the system itself waits in its name: for a disk or share that does not answer.
_END_LIMIT_S = 5.0
# Between two looks at whether it waits for storage; a busy disk lets it go on in between.
_LOOKS_S = (0.02, 0.05, 0.1)
# A segment's pixels and samples are megabytes: with the usual 64 KiB, each of the two processes waits for the other
# twice as long. Larger ones leave the processor's cache.
_PIPE_BYTES = 256 * 2**10


class ChildEndedError(Exception):
    """The child is gone, or has to go; `error` is what that means for the file."""

    def __init__(self, error_type: str, message: str, stage: str = "decode") -> None:
        super().__init__(message)
        self.error = MediaError(stage, error_type, message)


class DecoderProcess:
    """The process and its pipes."""

    def __init__(self, settings: GuardSettings, decoder: str) -> None:
        self._settings = settings
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the child)
        requests, self._requests_end = os.pipe()
        self._results_end, results = os.pipe()
        _widen(results)
        lifeline, self._lifeline = os.pipe()
        given = (requests, results, lifeline)
        confined = "confined" if settings.confine else "free"
        arguments = [*map(str, given), str(settings.memory_limit_mb), confined, decoder]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "v2a_core.media.worker", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                pass_fds=given,
                env=_environment(),
            )
        finally:
            for descriptor in given:
                os.close(descriptor)
        self._outbox = Connection(self._requests_end, readable=False)
        self._inbox = Connection(self._results_end, writable=False)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def wait_until_ready(self) -> None:
        """Wait for the imports; a child that cannot even start is no fault of a file.

        Raises:
            RuntimeError: With what it printed.
        """
        try:
            self._next(_START_LIMIT_S)
        except ChildEndedError as ended:
            raise RuntimeError(f"the decoder process does not start: {ended}") from None

    def ask(self, call: worker.Call) -> None:
        """Send a request; its answers are to be read to the end before the next.

        Raises:
            ChildEndedError: When there is nobody to ask.
        """
        try:
            worker.send(self._outbox, call)
        except OSError:
            raise self._crashed() from None

    def answers(self, limit_s: float | None = None) -> Iterator[object]:
        """What the function yields for the request.

        Args:
            limit_s: Time for each answer; that of the settings, if not given.

        Raises:
            MediaError: As the function raised it.
            ChildEndedError: When the child crashed or broke a limit.
        """
        while True:
            kind, value = self._next(limit_s or self._settings.time_limit_s)
            if kind == "end":
                return
            if kind == "failed" and isinstance(value, (MediaError, OSError)):
                raise value
            if kind == "memory":
                raise ChildEndedError("MemoryLimit", self._memory_message())
            yield value

    def resident_mb(self) -> float:
        """Memory of the child; 0 where the system does not tell."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
        except (OSError, IndexError):
            return 0.0
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def end(self) -> None:
        """Kill and reap it; it holds nothing that has to be saved. One that cannot be killed yet is left alone."""
        self._process.kill()
        # Python reaps it later: when another process is started after its end.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_LIMIT_S)
        for pipe in (self._outbox, self._inbox, self._errors):
            pipe.close()
        os.close(self._lifeline)

    def _next(self, limit_s: float) -> worker.Message:
        deadline = time.monotonic() + limit_s
        while not self._inbox.poll(_POLL_S):
            if self.resident_mb() > self._settings.memory_limit_mb:
                raise ChildEndedError("MemoryLimit", self._memory_message())
            if time.monotonic() > deadline:
                raise self._overdue(limit_s)
        try:
            message: worker.Message = worker.receive(self._inbox)
            return message
        except (EOFError, OSError):
            raise self._crashed() from None

    def _overdue(self, limit_s: float) -> ChildEndedError:
        if self._waits_for_storage():
            message = f"the storage did not answer within {limit_s:g} s; the reading process was left behind"
            return ChildEndedError("Stalled", message, stage="fetch")
        return ChildEndedError("TimeLimit", f"no result within {limit_s:g} s; the decoder was ended")

    def _waits_for_storage(self) -> bool:
        """Whether a thread of the child sleeps in a call of the system that cannot be interrupted, at every look."""
        return all(self._is_in_system(wait_s) for wait_s in (0.0, *_LOOKS_S))

    def _is_in_system(self, wait_s: float) -> bool:
        time.sleep(wait_s)
        try:
            states = [
                (thread / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
                for thread in Path(f"/proc/{self.pid}/task").iterdir()
            ]
        except (OSError, IndexError):
            return False
        return "D" in states

    def _crashed(self) -> ChildEndedError:
        try:
            code = self._process.wait(_END_LIMIT_S)
        except subprocess.TimeoutExpired:
            return self._overdue(_END_LIMIT_S)
        how = f"exit code {code}"
        if code < 0:
            with contextlib.suppress(ValueError):
                how = signal.Signals(-code).name
        return ChildEndedError("DecoderCrashed", f"the decoder process ended with {how}{self._last_words()}")

    def _last_words(self) -> str:
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - 2000))
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f": {lines[-1][:300]}" if lines else ""

    def _memory_message(self) -> str:
        return f"the decoder needed more than {self._settings.memory_limit_mb} MB; it was ended"


def _widen(pipe: int) -> None:
    # Linux only, and refused to a user who has thousands of them.
    with contextlib.suppress(AttributeError, OSError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _environment() -> dict[str, str]:
    """The child sees the modules this process sees, computes on one thread, and does not wait for lost frames."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    # decord asks a damaged file 10,240 times for its end before it gives up.
    limits = {"DECORD_EOF_RETRY_MAX": "128", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return {**os.environ, **threads, **limits}
