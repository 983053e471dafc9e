"""Headers of tar shards from strangers: read within limits, and their ends told from their damages."""

from __future__ import annotations

import tarfile
from typing import BinaryIO

from v2a_core.media.types import MediaError

# Long names and extended attributes are read into memory by their declared size.
_MAX_EXTENSION = 1 << 20
_EXTENSIONS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
# Videos and pictures are compressed already: what shrinks to less than a hundredth is none.
_MAX_RATIO, _FREE_BYTES = 100, 1 << 28


class CheckedHeader(tarfile.TarInfo):
    """A header; a damaged one is an error where tarfile takes it for the end.

    Raises:
        MediaError: From every method that reads headers.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> CheckedHeader:
        """Read a block; see tarfile."""
        if len(buf) < tarfile.BLOCKSIZE:
            raise MediaError("catalog", "Truncated", "its end marker is missing")
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if not any(buf):
                raise  # a block of zeros: the end
            raise MediaError("catalog", "BadHeader", f"a header is broken: {error}") from None
        if header.size < 0 or (header.type in _EXTENSIONS and header.size > _MAX_EXTENSION):
            raise MediaError("catalog", "BadHeader", f"a header of type {header.type!r} declares {header.size:,} bytes")
        return header


class BoundedStream:
    """A decompressed shard that may not be much larger than the file it comes from.

    Args:
        stream: The decompressed bytes.
        compressed_bytes: Size of the file.
    """

    def __init__(self, stream: BinaryIO, compressed_bytes: int) -> None:
        self._stream = stream
        self._limit = max(_FREE_BYTES, _MAX_RATIO * compressed_bytes)
        self.position = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes.

        Raises:
            MediaError: When they are too many.
        """
        data = self._stream.read(size)
        self.position += len(data)
        if self.position > self._limit:
            raise MediaError("catalog", "DecompressionBomb", f"it unpacks to more than {self._limit:,} bytes")
        return data
