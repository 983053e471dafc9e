"""Trouble of storage that the next file would meet, too: a full disk, a denied folder. It stops a run, at once.

Were each file that meets it a reject, a disk that is full for an hour would reject everything that came in that hour.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from v2a_core.storage.public import public_text

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_ALWAYS = _FULL | {errno.EROFS}
_DENIED = frozenset({errno.EACCES, errno.EPERM})
_GONE = frozenset({errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.ENXIO})  # a disk or a share
# What object stores say instead of a number.
_FULL_CODES = frozenset({"507", "InsufficientStorage", "QuotaExceeded", "XMinioStorageFull"})
_GONE_CODES = frozenset({"NoSuchBucket"})

_LEAST_BYTES = 2**16  # less room than this is none: what a library writes at once no longer fits


class ReplacedError(OSError):
    """An object is another one than it was."""


class StorageStopError(RuntimeError):
    """Storage cannot be written, or has no room; the message is for people. The run ends, what was made is kept."""


def stops_run(error: OSError, writing: bool) -> bool:
    """Whether an error of storage is the end of a run, and not of one source.

    Args:
        error: What was raised.
        writing: Whether files of the output were written when it was; a source that may not be read is one source.
    """
    code = store_code(error)
    if error.errno in _ALWAYS or code in _FULL_CODES:
        return True
    if not writing:
        return False
    if code is not None:
        return isinstance(error, PermissionError) or code in _GONE_CODES
    return isinstance(error, PermissionError) or error.errno in _DENIED | _GONE


def stop(error: OSError, uri: str = "") -> StorageStopError:
    """The exception that ends a run, with a sentence that says why and what to do.

    Args:
        error: For which `stops_run` is true.
        uri: What was written, or fetched.
    """
    code = store_code(error)
    if error.errno in _FULL or code in _FULL_CODES:
        what, until = "no room left", "there is room"
    elif error.errno == errno.EROFS:
        what, until = "storage is mounted read-only", "it can be written"
    elif isinstance(error, PermissionError) or error.errno in _DENIED:
        what, until = "writing is denied", "it is allowed"
    else:
        what, until = "storage fails", "it works"
    message = str(error)
    place = f"{uri}: " if uri and uri not in message else ""
    return StorageStopError(
        public_text(
            f"{what}: {place}{message}; what was made is kept, the same command goes on from there when {until}"
        )
    )


@contextlib.contextmanager
def full_disks_told(path: Path) -> Iterator[None]:
    """A full disk is an OSError, whatever a library that wrote to it makes of that.

    Args:
        path: The file that is written.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        full = no_room(path)
        if full is None:
            raise
        raise full from error


def no_room(path: Path) -> OSError | None:
    """The error behind what a library says of a full disk in its own way; None where a path's disk has room.

    libsndfile says "System error", and its Python wrapper asserts.
    """
    try:
        space = os.statvfs(path.parent)
    except OSError:
        return None
    names_left = space.f_favail or not space.f_files  # some file systems count no names
    if space.f_bavail * space.f_frsize >= _LEAST_BYTES and names_left:
        return None
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path.parent))


def store_code(error: BaseException) -> str | None:
    """What an object store called an error that s3fs translated; "" for one without a name, None for other errors."""
    response = getattr(error.__cause__, "response", None)
    if not response:
        return None
    return str(response.get("Error", {}).get("Code") or "")
