"""Files anywhere fsspec reaches: atomic writes, local copies, JSON.

A file is never seen half written: locally it is written beside its final name and renamed; on an object store a
put is atomic by itself. Transfers that are cut are tried again, a bounded number of times. Failures are OSErrors,
whatever library noticed them.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from v2a_core import retrying, storage_s3, trouble
from v2a_core.public import has_password
from v2a_core.public import public as public
from v2a_core.public import public_text as public_text
from v2a_core.retrying import ShortReadError
from v2a_core.storage_config import StorageSettings

T = TypeVar("T")

_S3 = ("s3://", "s3a://")
_CHAINED = re.compile(r"::[A-Za-z][A-Za-z0-9+.\-]*://")  # `zip://clips/a.mp4::https://host/clips.zip`

_CHUNK_BYTES = 32 * 2**20  # of a download: what is fetched again when a transfer is cut
_BLOCK_BYTES = 2**20  # what is read ahead of a reader that seeks


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
        inside = [place for place in self.places if uri == place[0] or uri.startswith(place[0].rstrip("/") + "/")]
        return max(inside, key=lambda place: len(place[0]))[1] if inside else self.settings


_access = StorageAccess()


def use(access: StorageAccess) -> None:
    """Reach files in this way from now on, in this process."""
    global _access
    _access = access


def in_use() -> StorageAccess:
    """How this process reaches files; what its workers are given."""
    return _access


def filesystem(uri: str) -> tuple[Any, str]:
    """The filesystem behind a URI and the path on it. Made anew in each process: s3fs is not fork-safe.

    Raises:
        ValueError: For a URI with a password in it: URIs are written into rows, manifests and logs.
    """
    if has_password(uri):
        raise ValueError(f"{public(uri)} holds a password: give credentials through the environment, not in a URI")
    if uri.startswith(_S3):
        fs = storage_s3.filesystem(_access.of(uri))
        return fs, str(fs._strip_protocol(uri))
    if "::" in uri and not _CHAINED.search(uri):
        # Letters of a name, which fsspec would take for the end of it.
        kind = fsspec.get_filesystem_class(uri.partition("://")[0] if "://" in uri else "file")
        return kind(**kind._get_kwargs_from_urls(uri)), str(kind._strip_protocol(uri))
    return fsspec.core.url_to_fs(uri)  # type: ignore[no-any-return]


def attempt(uri: str, operation: Callable[[], T]) -> T:
    """Run an operation on a file, which can be repeated: again after what may be gone a moment later.

    Raises:
        OSError: For every failure of the storage.
    """
    if "://" not in uri:
        return operation()
    settings = _access.of(uri)
    with storage_s3.plain_errors(uri):
        if not uri.startswith(_S3):
            return retrying.retry(operation, settings.attempts)
        return retrying.retry(lambda: storage_s3.try_once(operation, settings), settings.attempts)


def is_local(uri: str) -> bool:
    """Whether a URI or path is on this machine's file system."""
    return isinstance(filesystem(uri)[0], LocalFileSystem)


def canonical(uri: str) -> str:
    """One spelling for one file: an absolute path for local files, the URI as given otherwise."""
    fs, path = filesystem(uri)
    return str(path) if isinstance(fs, LocalFileSystem) else uri.rstrip("/")


def join(base: str, *parts: str) -> str:
    """`base/part/...`, for URIs and local paths alike."""
    return "/".join([base.rstrip("/"), *parts])


def exists(uri: str) -> bool:
    """Whether there is a file or folder at `uri`."""
    fs, path = filesystem(uri)
    return attempt(uri, lambda: bool(fs.exists(path)))


def list_files(uri: str, suffix: str = "") -> list[str]:
    """The files directly inside the folder `uri` whose names end with `suffix`, sorted; empty without the folder."""
    fs, path = filesystem(uri)
    fs.invalidate_cache()
    try:
        entries = attempt(uri, lambda: fs.ls(path, detail=True))
    except FileNotFoundError:
        return []
    names = [entry["name"].rsplit("/", 1)[-1] for entry in entries if entry["type"] == "file"]
    return [join(uri, name) for name in sorted(names) if name.endswith(suffix) and not name.startswith(".")]


def read_bytes(uri: str) -> bytes:
    """The whole file."""
    fs, path = filesystem(uri)
    if isinstance(fs, LocalFileSystem):
        return Path(path).read_bytes()
    return b"".join(_chunks(fs, path, uri))


@contextlib.contextmanager
def open_read(uri: str, block_bytes: int = _BLOCK_BYTES) -> Iterator[BinaryIO]:
    """A file to read and seek in, for readers that want parts of it; a remote one is read `block_bytes` ahead."""
    fs, path = filesystem(uri)
    if isinstance(fs, LocalFileSystem):
        with Path(path).open("rb") as file:
            yield file
        return
    size = int(attempt(uri, lambda: fs.info(path))["size"])
    with io.BufferedReader(_RangeReader(fs, path, uri, size), block_bytes) as buffered:
        yield cast(BinaryIO, buffered)


def read_json(uri: str) -> Any:
    """The JSON document at `uri`.

    Raises:
        FileNotFoundError: When there is none.
        ValueError: When it is not JSON.
    """
    try:
        return json.loads(read_bytes(uri))
    except (ValueError, RecursionError) as error:  # the latter: brackets nested without end
        raise ValueError(f"{uri} is not valid JSON: {error}") from None


def write_bytes(uri: str, data: bytes) -> None:
    """Write a whole file, atomically."""
    with writing(uri) as path:
        path.write_bytes(data)


def write_json(uri: str, value: Any) -> None:
    """Write a JSON document, atomically, indented for reading."""
    write_bytes(uri, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


@contextlib.contextmanager
def writing(uri: str) -> Iterator[Path]:
    """A local path to write to; the file appears at `uri`, whole, when the block ends without an error."""
    fs, path = filesystem(uri)
    name = path.rsplit("/", 1)[-1]
    if isinstance(fs, LocalFileSystem):
        parent = Path(path).parent
        parent.mkdir(parents=True, exist_ok=True)
        # Hidden, so that a reader of the folder does not take what a killed writer left for a finished file. The
        # suffix stays: encoders choose the container by it.
        temporary = parent / f".{uuid.uuid4().hex}.{name[-64:]}"
        try:
            with _full_disks_told(temporary):
                yield temporary
            _sync(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        return
    with tempfile.TemporaryDirectory(prefix="v2a-") as folder:
        temporary = Path(folder) / name[-64:]
        with _full_disks_told(temporary):
            yield temporary
        attempt(uri, lambda: fs.put_file(str(temporary), path))


@contextlib.contextmanager
def local_copy(uri: str) -> Iterator[Path]:
    """A local path with the content of `uri`: the file itself when it is local, else a copy for the block."""
    fs, path = filesystem(uri)
    if isinstance(fs, LocalFileSystem):
        if not Path(path).is_file():
            raise FileNotFoundError(f"no file {uri}")
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="v2a-") as folder:
        local = Path(folder) / path.rsplit("/", 1)[-1][-64:]
        download(uri, local)
        yield local


def download(uri: str, target: Path) -> None:
    """Copy the file `uri` to a local path."""
    fs, path = filesystem(uri)
    if isinstance(fs, LocalFileSystem):
        shutil.copyfile(path, target)
        return
    with target.open("wb") as file:
        for chunk in _chunks(fs, path, uri):
            file.write(chunk)


def upload(path: Path, uri: str) -> None:
    """Copy a local file to `uri`, atomically."""
    with writing(uri) as target:
        shutil.copyfile(path, target)


def copy_tree(uri: str, folder: Path) -> None:
    """Copy the folder `uri` to a local folder."""
    fs, path = filesystem(uri)
    if isinstance(fs, LocalFileSystem):
        shutil.copytree(path, folder, dirs_exist_ok=True)
    else:
        for name in attempt(uri, lambda: fs.find(path)):
            target = folder / name[len(path) :].lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            download(fs.unstrip_protocol(name), target)


def remove(uri: str) -> None:
    """Remove one file, if it is there."""
    fs, path = filesystem(uri)
    with contextlib.suppress(FileNotFoundError):
        attempt(uri, lambda: fs.rm_file(path))


class _RangeReader(io.RawIOBase):
    """Reads of an object as requests for ranges, each tried again when it is cut."""

    def __init__(self, fs: Any, path: str, uri: str, size: int) -> None:
        self._fs, self._path, self._uri, self._size, self._at = fs, path, uri, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), self._size - self._at)
        if length <= 0:
            return 0
        buffer[:length] = _read_range(self._fs, self._path, self._uri, self._at, length)
        self._at += length
        return length


def _read_range(fs: Any, path: str, uri: str, start: int, length: int) -> bytes:
    def fetch() -> bytes:
        data = bytes(fs.cat_file(path, start=start, end=start + length))
        if len(data) != length:
            raise ShortReadError(f"{uri}: {len(data)} of {length} bytes from {start} on arrived")
        return data

    data = attempt(uri, fetch)
    retrying.count(bytes_read=length)
    return data


def _chunks(fs: Any, path: str, uri: str) -> Iterator[bytes]:
    """The content of an object, in pieces, so that a cut costs a piece."""
    size = int(attempt(uri, lambda: fs.info(path))["size"])
    for start in range(0, size, _CHUNK_BYTES):
        yield _read_range(fs, path, uri, start, min(_CHUNK_BYTES, size - start))


@contextlib.contextmanager
def _full_disks_told(path: Path) -> Iterator[None]:
    """A full disk is an OSError, whatever a library that wrote to it makes of that."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        full = trouble.no_room(path)
        if full is None:
            raise
        raise full from error


def _sync(path: Path) -> None:
    """Data reaches the disk before the name does, so that a power cut leaves no empty file behind a final name."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
