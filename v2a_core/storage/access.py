"""How files are reached: the filesystem behind a URI, and operations on it that are tried again and end.

Each job says it for itself, with `reach`: what one says holds until it ends, and not for another one that runs in this
process at the same time. Threads and processes that a job starts are told by it.
"""

from __future__ import annotations

import contextlib
import contextvars
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import fsspec

from v2a_core.config import ConfigError
from v2a_core.storage import http, http_errors, retrying, s3, time_limits
from v2a_core.storage.config import StorageSettings
from v2a_core.storage.filesystem import Filesystem
from v2a_core.storage.public import has_password, public, public_text

T = TypeVar("T")

CHUNK_BYTES = 32 * 2**20  # of a transfer: what is fetched again when it is cut, and what the time of a fetch is for

_S3 = ("s3://", "s3a://")
_WEB = ("http://", "https://")
# Schemes whose package is an extra of ours, and which.
_EXTRAS = {"gs": "gs", "gcs": "gs", "abfs": "abfs", "abfss": "abfs", "az": "abfs"}
_CHAINED = re.compile(r"::[A-Za-z][A-Za-z0-9+.\-]*://")  # `zip://clips/a.mp4::https://host/clips.zip`
_GRACE_S = 2.0  # a request ends by itself when its time is over; only what does not is left behind


@dataclass(frozen=True)
class StorageAccess:
    """How a job reaches its files; travels to the workers, which make their own filesystems.

    Attributes:
        settings: For everything without settings of its own.
        places: Folders or URI prefixes with their own settings; the longest that fits wins.
    """

    settings: StorageSettings = field(default_factory=StorageSettings)
    places: tuple[tuple[str, StorageSettings], ...] = ()

    def of(self, uri: str) -> StorageSettings:
        """The settings for a URI."""
        inside = [place for place in self.places if f"{uri}/".startswith(place[0].rstrip("/") + "/")]
        return max(inside, key=lambda place: len(place[0]))[1] if inside else self.settings

    @classmethod
    def of_job(cls, settings: StorageSettings, output: str, output_settings: StorageSettings | None) -> StorageAccess:
        """How a job reaches its files, whose output may have settings of its own."""
        return cls(settings, ((output, output_settings),) if output_settings else ())


_scope: contextvars.ContextVar[StorageAccess | None] = contextvars.ContextVar("v2a_storage_access", default=None)
_process_default = StorageAccess()


@contextlib.contextmanager
def reach(access: StorageAccess) -> Iterator[None]:
    """Reach files in this way in the block, and in the threads of `ScopedThreads` that are given work in it.

    Not around a `yield` of a generator: what runs it meanwhile would reach files so, too.
    """
    token = _scope.set(access)
    try:
        yield
    finally:
        _scope.reset(token)


def set_process_default(access: StorageAccess) -> None:
    """Reach files in this way in all threads of this process that no `reach` is around, from now on.

    For a process that works for one job at a time, and is told before each piece of work: a worker of Ray, which runs
    what it is given in threads of its own, or a child. Not for a process that a person's program may share.
    """
    global _process_default
    _process_default = access


def in_use() -> StorageAccess:
    """How files are reached here; what workers and children are given."""
    return _scope.get() or _process_default


def filesystem(uri: str) -> tuple[Filesystem, str]:
    """The filesystem behind a URI and the path on it. Made anew in each process: s3fs is not fork-safe.

    Raises:
        ConfigError: For a URI with a password in it (URIs are written into rows, manifests and logs), and for one
            whose scheme is not known, or needs a package that is not there.
    """
    refuse_password(uri)
    if uri.startswith(_S3):
        fs = s3.filesystem(in_use().of(uri))
        return fs, str(fs._strip_protocol(uri))
    if uri.startswith(_WEB):
        return http.filesystem(in_use().of(uri)), uri
    if "::" in uri and not _CHAINED.search(uri):
        # Letters of a name, which fsspec would take for the end of it.
        kind = fsspec.get_filesystem_class(uri.partition("://")[0] if "://" in uri else "file")
        return kind(**kind._get_kwargs_from_urls(uri)), str(kind._strip_protocol(uri))
    if "://" not in uri:
        return _opened(uri)
    return time_limits.within(in_use().of(uri).longest_s, public(uri), lambda: _open(uri))


def is_web(uri: str) -> bool:
    """Whether a web server has the file: it lists no folders, and a query belongs to the address."""
    return uri.lower().startswith(("http://", "https://"))


def refuse_password(uri: str) -> None:
    """Raise ConfigError for a URI with a password in it."""
    if has_password(uri):
        raise ConfigError(f"{public(uri)} holds a password: give credentials through the environment, not in a URI")


def _open(uri: str) -> tuple[Filesystem, str]:
    """The filesystem of a scheme that is not known here; some connect at once."""
    try:
        return _opened(uri)
    except OSError as error:
        if type(error) is not OSError:
            raise
        raise ConfigError(f"{public(uri)} cannot be opened: {str(error).splitlines()[0]}") from None  # libjvm: a page
    except ImportError as error:
        extra = _EXTRAS.get(uri.partition("://")[0].lower())
        install = f". `pip install 'v2a[{extra}]'` installs it, on every machine that works on the job" if extra else ""
        raise ConfigError(f"{public(uri)}: a Python package is missing on this machine: {error}{install}") from None
    except Exception as error:  # noqa: BLE001 (what a filesystem that somebody installed says of a wrong address)
        raise ConfigError(f"{public(uri)} cannot be opened: {public_text(str(error))}") from None


def _opened(uri: str) -> tuple[Filesystem, str]:
    fs, path = fsspec.core.url_to_fs(uri)
    return fs, path


def attempt(uri: str, operation: Callable[[], T], size: int = 0) -> T:
    """Run an operation on a file, which can be repeated: again after what may be gone a moment later, but not for ever.

    Args:
        uri: The file.
        operation: Runs in another thread.
        size: Bytes that it moves, where it moves many.

    Raises:
        OSError: For every failure of the storage; TimeoutError when the time is over.
    """
    if "://" not in uri:
        return operation()
    settings = in_use().of(uri)
    seconds = settings.longest_s * max(1, math.ceil(size / CHUNK_BYTES))
    once = operation
    if uri.startswith(_S3):
        once = lambda: s3.try_once(operation, settings)  # noqa: E731 (either of two)
    with _plain_errors(uri):
        return time_limits.within(
            seconds + _GRACE_S, public(uri), lambda: retrying.retry(once, settings.attempts, until_s=seconds)
        )


def look(path: str, operation: Callable[[], T]) -> T:
    """Look at a file or folder of this machine; the mount that it is on may be dead.

    Raises:
        TimeoutError: When nothing comes back for as long as `storage.timeout_s`.
    """
    return time_limits.within(in_use().of(path).timeout_s, path, operation)


def look_through(path: str, items: Iterator[T]) -> Iterator[T]:
    """The same for what is found in a folder, one after the other."""
    return time_limits.iterate_within(in_use().of(path).timeout_s, path, items)


@contextlib.contextmanager
def _plain_errors(uri: str) -> Iterator[None]:
    try:
        with s3.plain_errors(uri), http_errors.plain_errors(uri):
            yield
    except TimeoutError as error:
        if str(error):
            raise
        raise TimeoutError(f"{public(uri)}: no answer in time (storage.timeout_s, storage.fetch_timeout_s)") from None
