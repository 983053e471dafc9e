"""One run at a time owns an output: a second one would read a ledger that is no longer true, and double rows.

A lease is a numbered file in a hidden folder of the output. Who begins creates the file of the next number, which only
one can, on a disk as on an object store; the highest number owns the output. The owner renews its file while it works,
and looks for a higher number before each commit: a run that was taken for dead, and comes back, writes nothing more.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from v2a_core import storage
from v2a_core.compute.threads import every
from v2a_core.config import ConfigError
from v2a_core.outputs.holder import Holder, is_gone, this_process
from v2a_core.outputs.manifest import FILE_NAME
from v2a_core.protocols import JSON
from v2a_core.storage.public import public

FOLDER = ".lease"
RENEW_S = 15.0  # how often an owner says that it is there
DEAD_S = 60.0  # an owner that has not said so for longer may be dead
WATCH_S = 20.0  # it is, when it says nothing for so long while it is watched: clocks of machines differ


class OutputInUseError(ConfigError):
    """Another run owns the output."""


class LeaseLostError(RuntimeError):
    """Another run has taken the output over; this one must write nothing more."""


class _Told(Holder, total=False):
    """What the file of a lease may hold."""

    progress: Mapping[str, JSON]


class _Record(_Told):
    """What it must hold."""

    owner: str
    job: str
    begun: float
    renewed: float
    released: bool


@dataclass(frozen=True)
class Owner:
    """Who owns an output, or did so last, by its lease.

    Attributes:
        job: What the run does.
        host, process: Where it runs.
        begun, renewed: When it began, and when it last said that it is there; seconds since the epoch, by its clock.
        released: Whether it has given the output free.
        gone: Whether its process is known to have ended.
        progress: How far it is, as the run tells it.
    """

    job: str
    host: str
    process: int
    begun: float
    renewed: float
    released: bool
    gone: bool
    progress: Mapping[str, JSON]


@dataclass(frozen=True)
class _Held:
    number: int
    record: _Record | None  # None while it is being written, or when it is damaged


class Lease:
    """The ownership of an output, by `hold`.

    Args:
        output: Folder or URI.
        number: Of the lease.
        record: What its file holds.
    """

    def __init__(self, output: str, number: int, record: _Record) -> None:
        self._output, self._number, self._record = output, number, record
        self._progress: Callable[[], Mapping[str, JSON]] | None = None

    @property
    def run(self) -> str:
        """What tells the run that owns the output from every other."""
        return self._record["owner"]

    def tell(self, progress: Callable[[], Mapping[str, JSON]]) -> None:
        """Say with each renewal how far the run is; called from a thread of the lease's own."""
        self._progress = progress

    def check(self) -> None:
        """Go on only as the owner; to be called before what is written counts.

        Raises:
            LeaseLostError: When another run has taken the output over.
        """
        held = _highest(self._output)
        theirs = held is not None and held.record is not None and held.record["owner"] != self._record["owner"]
        if held is None or held.number != self._number or theirs:
            raise LeaseLostError(
                f"{public(self._output)} was taken over by another run (--steal, or this one was taken for dead): "
                "this run ends here, and what it committed before is kept"
            )

    def renew(self) -> None:
        """Say that the owner is there."""
        # Storage that is away for a while takes nothing from the owner: nobody else can write there either.
        with contextlib.suppress(OSError, LeaseLostError):
            self.check()
            self._write(renewed=time.time())

    def release(self) -> None:
        """Give the output free; of an output that never came to be, nothing is left."""
        with contextlib.suppress(OSError, LeaseLostError):
            self.check()
            if not (storage.exists(storage.join(self._output, FILE_NAME)) and self._says_released()):
                storage.remove(_uri(self._output, self._number))

    def _says_released(self) -> bool:
        """False where nothing can be written, as on a full disk: a file can be taken away there still."""
        with contextlib.suppress(OSError):
            self._write(released=True)
            return True
        return False

    def _write(self, *, renewed: float | None = None, released: bool = False) -> None:
        renewed = self._record["renewed"] if renewed is None else renewed
        told = {"progress": self._progress()} if self._progress else {}
        self._record = cast(_Record, {**self._record, "renewed": renewed, "released": released, **told})
        storage.write_json(_uri(self._output, self._number), self._record)


@contextlib.contextmanager
def hold(output: str, job: str, *, steal: bool = False) -> Iterator[Lease]:
    """Own an output in the block.

    Args:
        output: Folder or URI; made where it is not there yet, and gone after the block when it is still empty then.
        job: What the run does, for those whom it keeps out.
        steal: Take the output over from whichever run owns it; that one ends before it commits again.

    Raises:
        OutputInUseError: When another run owns it; names its machine, process and age, and what to do.
    """
    with storage.gone_when_empty(storage.missing_folders(_folder(output))):
        lease = _acquire(output, job, steal)
        try:
            with every(RENEW_S, lease.renew, "lease"):
                yield lease
        finally:
            lease.release()


def owner(output: str) -> Owner | None:
    """Who owns an output, or owned it last; None when nobody is known to."""
    held = _highest(output)
    if held is None or held.record is None:
        return None
    record = held.record
    return Owner(
        record["job"],
        record["host"],
        record["process"],
        record["begun"],
        record["renewed"],
        record["released"],
        is_gone(record),
        record.get("progress", {}),
    )


def _acquire(output: str, job: str, steal: bool) -> Lease:
    now = time.time()
    record = cast(
        _Record,
        {**this_process(), "owner": uuid.uuid4().hex, "job": job, "begun": now, "renewed": now, "released": False},
    )
    while True:
        held = _highest(output)
        if held is not None and not steal:
            _refuse_the_living(output, held)
        number = 1 if held is None else held.number + 1
        if _create(output, number, record):
            for older in _numbers(output):
                if older < number:
                    storage.remove(_uri(output, older))
            return Lease(output, number, record)


def _create(output: str, number: int, record: _Record) -> bool:
    """Whether the lease of this number is ours now."""
    uri = _uri(output, number)
    try:
        storage.create_json(uri, record)
    except FileExistsError:
        held = _read(uri)  # ours, when the answer to the first attempt was lost on the way
        return held is not None and held["owner"] == record["owner"]
    return True


def _refuse_the_living(output: str, held: _Held) -> None:
    """Return when nobody owns the output any more.

    Raises:
        OutputInUseError: When somebody does, or may.
    """
    record = held.record
    if record is not None and (record["released"] or is_gone(record)):
        return
    silent_s = time.time() - record["renewed"] if record else 0.0
    if record is not None and 0 <= silent_s < DEAD_S:
        raise _in_use(output, record, silent_s)
    if _stirs(output, held):
        raise _in_use(output, record, 0.0)


def _stirs(output: str, held: _Held) -> bool:
    """Whether a lease changes while it is watched: its owner says that it is there, or another one has come."""
    end = time.monotonic() + WATCH_S
    while time.monotonic() < end:
        if _highest(output) != held:
            return True
        time.sleep(min(1.0, WATCH_S / 10))
    return False


def _in_use(output: str, record: _Record | None, silent_s: float) -> OutputInUseError:
    if record is None:
        return OutputInUseError(f"{public(output)}: another run takes it over just now; try again when that has ended")
    return OutputInUseError(
        f"{public(output)} belongs to a run of `v2a {record['job']}`: process {record['process']} on {record['host']}, "
        f"begun {ago(time.time() - record['begun'])}, last heard of {ago(silent_s)}. Wait until it ends, or use "
        f"another --output; if it is dead, this command takes over from {DEAD_S:.0f} s after it was last heard of, and "
        "with --steal at once"
    )


def ago(seconds: float) -> str:
    """A time that has passed, for people."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(0.0, seconds):.0f} s ago"


def _highest(output: str) -> _Held | None:
    numbers = _numbers(output)
    return _Held(numbers[-1], _read(_uri(output, numbers[-1]))) if numbers else None


def _read(uri: str) -> _Record | None:
    try:
        content = storage.read_json(uri)
    except (FileNotFoundError, ValueError):
        return None
    is_record = isinstance(content, dict) and _Record.__required_keys__ <= content.keys()
    return cast(_Record, content) if is_record else None


def _numbers(output: str) -> list[int]:
    names = [uri.rsplit("/", 1)[-1].removesuffix(".json") for uri in storage.list_files(_folder(output), ".json")]
    return sorted(int(name) for name in names if name.isdecimal())


def _uri(output: str, number: int) -> str:
    return storage.join(_folder(output), f"{number:08d}.json")


def _folder(output: str) -> str:
    return storage.join(output, FOLDER)
