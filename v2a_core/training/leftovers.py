"""What killed runs leave behind: checkpoints that wait for their upload, and uploads that were begun."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from v2a_core import storage
from v2a_core.storage.filesystem import ObjectStore

_PREFIX = "v2a-checkpoints-"
_LOCK = ".lock"


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder on this machine for checkpoints until they are uploaded; those of processes that died are deleted."""
    _remove_dead()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        # Held while this process lives, whatever ends it.
        with (folder / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def abort_uploads(uri: str) -> int:
    """End the multipart uploads that were begun below a URI of an object store: their parts are stored, and paid for.

    Returns:
        How many there were. An output has one run at a time: none of them goes on.
    """
    fs, path = storage.filesystem(uri)
    if not isinstance(fs, ObjectStore):
        return 0
    bucket, prefix, _ = fs.split_path(path)
    try:
        found = storage.attempt(uri, lambda: fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=f"{prefix}/"))
    except PermissionError:
        return 0  # who may write need not be allowed to list
    uploads = found.get("Uploads") or []
    for item in uploads:
        request = {"Bucket": bucket, "Key": item["Key"], "UploadId": item["UploadId"]}
        with contextlib.suppress(FileNotFoundError):
            storage.attempt(uri, functools.partial(fs.call_s3, "abort_multipart_upload", **request))
    return len(uploads)


def _remove_dead() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.lstat().st_uid == os.getuid() and _is_dead(folder):
                shutil.rmtree(folder)


def _is_dead(folder: Path) -> bool:
    """Whether nobody holds the folder's lock. One without a lock was made this moment, and is taken for alive."""
    with (folder / _LOCK).open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
