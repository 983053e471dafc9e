"""Decoding in a process of its own: a crash, a hang or a memory leak costs the file, never the job."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Collection, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

from v2a_core.media import worker
from v2a_core.media.config import FrameSettings, GuardSettings, SegmentSettings
from v2a_core.media.decode import Decoded, DecodeRequest, SegmentReject
from v2a_core.media.types import MediaError, MediaSpec, Segment

_POLL_S = 0.1
_START_LIMIT_S = 120.0
# Segments of one file that may end the decoder for good, before the rest of the file is given up untried.
_HOPELESS = 3

_open_decoders: weakref.WeakSet[GuardedDecoder] = weakref.WeakSet()


class GuardedDecoder:
    """Decodes in one persistent child process, which is replaced when it crashes, hangs or grows too large.

    Not for several threads at once. The child ends with `close()`, with the interpreter, and when this process dies
    in whatever way.

    Args:
        settings: Limits and attempts.
        decoder: `module:function` that takes a `DecodeRequest` and behaves like `decode.decode_source`.
    """

    def __init__(self, settings: GuardSettings, decoder: str = worker.DECODER) -> None:
        self._settings, self._decoder = settings, decoder
        self._child: _Child | None = None
        _open_decoders.add(self)

    def decode(
        self,
        path: Path,
        *,
        kind: str,
        source_id: str,
        spec: MediaSpec,
        segments: SegmentSettings,
        frames: FrameSettings,
        start_s: float | None = None,
        span_s: float | None = None,
        want_audio: bool = True,
        skip: Collection[str] = (),
    ) -> Iterator[Decoded]:
        """Decode a local file segment by segment.

        A segment that ends the decoder is tried `settings.attempts` times, then rejected; those before it are kept
        and not decoded again, those after it are decoded by a new process.

        Args:
            path: A local file.
            kind: `video` or `image`.
            source_id: Segment ids derive from it.
            spec: What the models want.
            segments: How the source is cut.
            frames: Which frames are taken.
            start_s: Start of the wanted span.
            span_s: Length of the wanted span.
            want_audio: Whether the sound is decoded too.
            skip: Ids of segments that are not wanted.

        Raises:
            MediaError: When the source as a whole cannot be read. Its `error_type` is `DecoderCrashed`, `TimeLimit` or
                `MemoryLimit` when the process had to be replaced.
        """
        request = DecodeRequest(
            path, kind, source_id, spec, segments, frames, start_s, span_s, want_audio, frozenset(skip)
        )
        course = _Course(request, self._settings.attempts)
        while not course.finished:
            yield from self._attempt(course)

    def close(self) -> None:
        """End the child process."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def __enter__(self) -> GuardedDecoder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Process id of the child, when there is one."""
        return self._child.pid if self._child else None

    def _attempt(self, course: _Course) -> Iterator[Decoded]:
        """One run of the child over what is left of the source."""
        complete = False
        try:
            child = self._ready_child()
            child.ask(course.rest())
            for item in child.answers():
                if isinstance(item, list):
                    course.planned = item
                else:
                    course.done(item.segment)
                    yield item
            course.finished = complete = True
            if child.resident_mb() > self._settings.memory_limit_mb / 2:
                self.close()  # native decoders leak a little with every file
        except _EndedError as ended:
            yield from course.failed(ended.error)
        except MediaError:
            complete = True  # the child itself is well
            raise
        finally:
            if not complete:
                self.close()  # in mid-answer, also when the caller lost interest

    def _ready_child(self) -> _Child:
        if self._child is None or not self._child.alive():
            self.close()
            self._child = _Child(self._settings, self._decoder)
            self._child.wait_until_ready()
        return self._child


class _EndedError(Exception):
    """The child is gone, or has to go."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error = MediaError("decode", error_type, message)


class _Course:
    """How far a source has come, over several attempts."""

    def __init__(self, request: DecodeRequest, attempts: int) -> None:
        self.planned: list[Segment] | None = None
        self.finished = False
        self._request, self._attempts = request, attempts
        self._done = set(request.skip)
        self._tries = 0  # of the segment, or the opening, that is next
        self._given_up = 0

    def rest(self) -> DecodeRequest:
        """The request without what is done."""
        return replace(self._request, skip=frozenset(self._done))

    def done(self, segment: Segment) -> None:
        """A segment has its result."""
        self._done.add(segment.segment_id)
        self._tries = 0

    def failed(self, error: MediaError) -> Iterator[SegmentReject]:
        """The child ended; what that costs.

        Raises:
            MediaError: When it costs the whole source.
        """
        self._tries += 1
        if self._tries < self._attempts:
            return
        final = MediaError(error.stage, error.error_type, str(error), attempts=self._tries)
        if self.planned is None:
            raise final
        left = [segment for segment in self.planned if segment.segment_id not in self._done]
        self._given_up += 1
        for segment in left if self._given_up >= _HOPELESS else left[:1]:
            self.done(segment)
            yield SegmentReject(segment, final)
        self.finished = len(left) <= 1 or self._given_up >= _HOPELESS


class _Child:
    """The process and its pipes."""

    def __init__(self, settings: GuardSettings, decoder: str) -> None:
        self._settings = settings
        self._errors: Any = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the child)
        requests, self._requests_end = os.pipe()
        self._results_end, results = os.pipe()
        lifeline, self._lifeline = os.pipe()
        given = (requests, results, lifeline)
        arguments = [*map(str, given), str(settings.memory_limit_mb), decoder]
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
        return self._process.pid

    def alive(self) -> bool:
        return self._process.poll() is None

    def wait_until_ready(self) -> None:
        """Wait for the imports; a child that cannot even start is no fault of a file.

        Raises:
            RuntimeError: With what it printed.
        """
        try:
            self._next(_START_LIMIT_S)
        except _EndedError as ended:
            raise RuntimeError(f"the decoder process does not start: {ended}") from None

    def ask(self, request: DecodeRequest) -> None:
        try:
            worker.send(self._outbox, request)
        except OSError:
            raise self._crashed() from None

    def answers(self) -> Iterator[Any]:
        """What the decoder yields for the request.

        Raises:
            MediaError: As the decoder raised it.
            _EndedError: When the child crashed or broke a limit.
        """
        while True:
            kind, value = self._next(self._settings.time_limit_s)
            if kind == "end":
                return
            if kind == "failed":
                raise value
            if kind == "memory":
                raise _EndedError("MemoryLimit", self._memory_message())
            yield value

    def resident_mb(self) -> float:
        """Memory of the child; 0 where the system does not tell."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
        except (OSError, IndexError):
            return 0.0
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def end(self) -> None:
        """Kill and reap it; it holds nothing that has to be saved."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._outbox, self._inbox, self._errors):
            pipe.close()
        os.close(self._lifeline)

    def _next(self, limit_s: float) -> Any:
        deadline = time.monotonic() + limit_s
        while not self._inbox.poll(_POLL_S):
            if self.resident_mb() > self._settings.memory_limit_mb:
                raise _EndedError("MemoryLimit", self._memory_message())
            if time.monotonic() > deadline:
                raise _EndedError("TimeLimit", f"no result within {limit_s:g} s; the decoder was ended")
        try:
            return worker.receive(self._inbox)
        except (EOFError, OSError):
            raise self._crashed() from None

    def _crashed(self) -> _EndedError:
        code = self._process.wait()
        how = f"exit code {code}"
        if code < 0:
            with contextlib.suppress(ValueError):
                how = signal.Signals(-code).name
        return _EndedError("DecoderCrashed", f"the decoder process ended with {how}{self._last_words()}")

    def _last_words(self) -> str:
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - 2000))
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f": {lines[-1][:300]}" if lines else ""

    def _memory_message(self) -> str:
        return f"the decoder needed more than {self._settings.memory_limit_mb} MB; it was ended"


def _environment() -> dict[str, str]:
    """The child sees the modules this process sees, computes on one thread, and does not wait for lost frames."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    # decord asks a damaged file 10,240 times for its end before it gives up.
    limits = {"DECORD_EOF_RETRY_MAX": "128", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return {**os.environ, **threads, **limits}


@atexit.register
def _close_all() -> None:
    for decoder in list(_open_decoders):
        decoder.close()
