"""The bytes of tar shards: opened anywhere, decompressed on the way, members copied out one after the other."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from v2a_core import storage
from v2a_core.catalog.files import check_version, is_remote, path_of
from v2a_core.media.types import MediaError

_CHUNK = 1 << 23
# Between headers lie whole videos: reading far ahead would fetch them.
_CHECK_EVERY_S = 5.0  # of a remote shard: while a stream is read for hours, another file may take its place
_HEADER_BLOCK, _STREAM_BLOCK = 1 << 16, 1 << 23


class ShardReader:
    """Copies members of shards to files.

    A compressed shard is read once, forwards, as long as its members are asked for in their order; nothing of it is
    kept but the place where the stream stands.
    """

    def __init__(self) -> None:
        self._scope = contextlib.ExitStack()
        self._checked_at = 0.0
        self._uri: str | None = None
        self._stream: BinaryIO | None = None
        self._position = 0

    def copy(self, shard_uri: str, offset: int, size: int, path: Path, version: str = "") -> None:
        """Copy the bytes of a member to a local file.

        Args:
            shard_uri: The shard.
            offset: Where the member begins in the (decompressed) shard.
            size: Its bytes.
            path: The file.
            version: Of the shard, when it was listed; it is looked at when the shard is opened, and while it is read.

        Raises:
            MediaError: When the shard ends before them, or is not the one that was listed.
            OSError: When the shard cannot be read.
        """
        try:
            stream = self._at(shard_uri, offset)
            with path.open("wb") as target:
                self._position += _pump(stream, target, size)
            if not is_remote(shard_uri) or time.monotonic() - self._checked_at > _CHECK_EVERY_S:
                check_version(shard_uri, version)
                self._checked_at = time.monotonic()
        except BaseException:
            self.close()  # where the stream stands is not known
            raise

    def close(self) -> None:
        """Give the shard back."""
        self._scope.close()
        self._uri = self._stream = None

    def __enter__(self) -> ShardReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _at(self, uri: str, offset: int) -> BinaryIO:
        """The shard's stream, standing at a member."""
        stream = self._stream
        if stream is None or self._uri != uri or (is_compressed(uri) and offset < self._position):
            self.close()
            stream = self._stream = self._scope.enter_context(open_shard(uri))
            self._uri, self._position, self._checked_at = uri, 0, -math.inf
        if is_compressed(uri):
            self._position += _pump(stream, None, offset - self._position)
        else:
            stream.seek(offset)
        return stream


def is_compressed(uri: str) -> bool:
    """Whether a shard has to be read from its start to reach a member."""
    return not path_of(uri).lower().endswith(".tar")


@contextlib.contextmanager
def open_shard(uri: str) -> Iterator[BinaryIO]:
    """The (decompressed) bytes of a shard; uncompressed ones can seek."""
    with contextlib.ExitStack() as scope:
        if is_remote(uri):
            block = _STREAM_BLOCK if is_compressed(uri) else _HEADER_BLOCK
            stream: BinaryIO = scope.enter_context(storage.open_read(uri, block))
        else:
            stream = scope.enter_context(Path(uri).open("rb"))
        if is_compressed(uri):
            import pyarrow as pa

            codec = "zstd" if path_of(uri).lower().endswith(".zst") else "gzip"
            stream = scope.enter_context(pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), codec))
        yield stream


def _pump(source: BinaryIO, target: BinaryIO | None, count: int) -> int:
    """Copy, or pass over, exactly `count` bytes."""
    left = count
    while left:
        block = source.read(min(_CHUNK, left))
        if not block:
            raise MediaError("fetch", "Truncated", "the shard ends before the member does")
        left -= len(block)
        if target:
            target.write(block)
    return count
