"""Reading objects in pieces, as requests for ranges, each tried again when it is cut."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from v2a_core.storage import retrying
from v2a_core.storage.access import CHUNK_BYTES, attempt
from v2a_core.storage.filesystem import Filesystem, ObjectStore
from v2a_core.storage.public import public
from v2a_core.storage.retrying import ShortReadError

if TYPE_CHECKING:
    from typing_extensions import Buffer  # of `collections.abc` from Python 3.12 on


class Version(NamedTuple):
    """An object of S3, as a listing tells it."""

    size: int
    etag: str


def open_ranges(fs: Filesystem, path: str, uri: str) -> io.RawIOBase:
    """An object to read and seek in, unbuffered."""
    return _RangeReader(fs, path, uri)


def chunks(fs: Filesystem, path: str, uri: str, version: Version | None = None) -> Iterator[bytes]:
    """The content of an object, in pieces, so that a cut costs a piece.

    Args:
        fs: Has the object.
        path: Its path there.
        uri: Its address.
        version: Which one it must be, where that is known: then it is not looked at before.
    """
    size = size_of(fs, path, uri) if version is None else version.size
    etag = version.etag if version else ""
    for start in range(0, size, CHUNK_BYTES):
        yield _read_range(fs, path, uri, start, min(CHUNK_BYTES, size - start), etag)


def size_of(fs: Filesystem, path: str, uri: str) -> int:
    """Bytes of an object.

    Raises:
        OSError: When there is none, or its server does not say.
    """
    size = attempt(uri, lambda: fs.info(path)).get("size")
    if size is None:
        raise OSError(f"{public(uri)}: the server does not tell the size of the file (no Content-Length)")
    return int(size)


def _read_range(fs: Filesystem, path: str, uri: str, start: int, length: int, etag: str = "") -> bytes:
    def fetch() -> bytes:
        if etag and isinstance(fs, ObjectStore):
            data = bytes(fs.cat_version(path, etag, start, start + length))
        else:
            data = bytes(fs.cat_file(path, start=start, end=start + length))
        if len(data) != length:
            raise ShortReadError(f"{public(uri)}: {len(data)} of {length} bytes from {start} on arrived")
        return data

    data = attempt(uri, fetch)
    retrying.count(bytes_read=length)
    return data


class _RangeReader(io.RawIOBase):
    def __init__(self, fs: Filesystem, path: str, uri: str) -> None:
        self._fs, self._path, self._uri, self._at = fs, path, uri, 0
        self._size = size_of(fs, path, uri)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Buffer) -> int:
        target = memoryview(buffer)
        length = min(len(target), self._size - self._at)
        if length <= 0:
            return 0
        target[:length] = _read_range(self._fs, self._path, self._uri, self._at, length)
        self._at += length
        return length
