"""Decoding in a process of its own: a crash, a hang or a memory leak costs the file, never the job."""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType

from v2a_core.media import worker
from v2a_core.media.child import ChildEndedError, DecoderProcess
from v2a_core.media.config import GuardSettings
from v2a_core.media.decode import Decoded, DecodeRequest, SegmentReject
from v2a_core.media.types import MediaError, Segment

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

    Attributes:
        settings: Limits and attempts.
        planned: All segments of the source that is being decoded; None as long as they are not known.
    """

    def __init__(self, settings: GuardSettings, decoder: str = worker.DECODER) -> None:
        self.settings, self._decoder = settings, decoder
        self._child: DecoderProcess | None = None
        self.planned: list[Segment] | None = None
        _open_decoders.add(self)

    def decode(self, request: DecodeRequest) -> Iterator[Decoded]:
        """Decode a local file segment by segment, within this decoder's limits of a source's length.

        A segment that ends the decoder is tried `settings.attempts` times, then rejected; those before it are kept
        and not decoded again, those after it are decoded by a new process.

        Raises:
            MediaError: When the source as a whole cannot be read. Its `error_type` is `DecoderCrashed`, `TimeLimit` or
                `MemoryLimit` when the process had to be replaced.
        """
        request = replace(
            request,
            path=request.path.absolute(),
            max_duration_s=self.settings.max_duration_s,
            max_segments=self.settings.max_segments,
        )
        self.forget()
        course = _Course(request, self.settings.attempts)
        while not course.finished:
            yield from self._attempt(course)

    def forget(self) -> None:
        """Nothing is known of the source that comes next."""
        self.planned = None

    def run(self, call: worker.Call, *, extra_s: float = 0.0) -> object:
        """What a function yields last, computed in the child.

        Args:
            call: The function and its argument.
            extra_s: Time beyond that of the settings.

        Raises:
            MediaError: As the function raised it; its `error_type` is `DecoderCrashed`, `TimeLimit` or `MemoryLimit`
                when the process had to be replaced.
            OSError: When the storage is full.
        """
        for attempt in range(1, self.settings.attempts + 1):
            complete = False
            try:
                child = self._ready_child()
                child.ask(call)
                results = list(child.answers(self.settings.time_limit_s + extra_s))
                complete = True
                return results[-1]
            except ChildEndedError as ended:
                stage = ended.error.stage if ended.error.transient else call.stage
                error = MediaError(stage, ended.error.error_type, str(ended), attempts=attempt)
                if error.transient:
                    break
            except MediaError:
                complete = True  # the child itself is well
                raise
            finally:
                if not complete:
                    self.close()
        raise error

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
            rest = course.rest()
            child.ask(worker.Call(self._decoder, rest, reads=(rest.path,)))
            for item in child.answers():
                if isinstance(item, list):
                    course.planned = self.planned = item
                elif isinstance(item, Decoded):
                    course.done(item.segment)
                    yield item
            course.finished = complete = True
            if child.resident_mb() > self.settings.memory_limit_mb / 2:
                self.close()  # native decoders leak a little with every file
        except ChildEndedError as ended:
            yield from course.failed(ended.error)
        except MediaError as error:
            complete = True  # the child itself is well
            yield from course.refused(error)
        finally:
            if not complete:
                self.close()  # in mid-answer, also when the caller lost interest

    def _ready_child(self) -> DecoderProcess:
        if self._child is None or not self._child.alive():
            self.close()
            self._child = DecoderProcess(self.settings, self._decoder)
            self._child.wait_until_ready()
        return self._child


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
        if self._tries < self._attempts and not error.transient:
            return
        yield from self.refused(MediaError(error.stage, error.error_type, str(error), attempts=self._tries))

    def refused(self, error: MediaError) -> Iterator[SegmentReject]:
        """What is next, a segment or the opening, has failed for good.

        Raises:
            MediaError: When it costs the whole source.
        """
        if self.planned is None:
            raise error
        left = [segment for segment in self.planned if segment.segment_id not in self._done]
        self._given_up += 1
        # Storage that fails for one segment fails for the next.
        hopeless = self._given_up >= _HOPELESS or error.transient
        for segment in left if hopeless else left[:1]:
            self.done(segment)
            yield SegmentReject(segment, error)
        self.finished = len(left) <= 1 or hopeless


# One decoder process for each worker process, kept between tasks: starting one costs more than decoding a clip.
_shared: dict[tuple[GuardSettings, str], GuardedDecoder] = {}


def shared_decoder(settings: GuardSettings, decoder: str = worker.DECODER) -> GuardedDecoder:
    """The decoder of this process, the same at every call."""
    key = (settings, decoder)
    if key not in _shared:
        _shared[key] = GuardedDecoder(settings, decoder)
    return _shared[key]


@atexit.register
def _close_all() -> None:
    for decoder in list(_open_decoders):
        decoder.close()
