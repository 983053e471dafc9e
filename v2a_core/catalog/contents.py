"""What the bytes of a file say: which version of it this is, and whether a `.ts` is a transport stream.

The version of a local file is its size and a hash of its two ends. That costs one short read, where a hash of the
whole would read the catalog twice; and it stays the same when a file is touched, copied or unpacked again, where a time
of modification does not. A change that keeps the size and both ends is not seen.
"""

from __future__ import annotations

import hashlib
import os
import stat

_EDGE_BYTES = 4096  # of each end: a page, so that small files cost a system call and not their hash

# MPEG-TS: a packet of 188 bytes begins with 0x47; Blu-ray puts 4 bytes before it, broadcasters 16 behind it.
_SYNC, _PACKET_BYTES = 0x47, (188, 192, 204)
_PACKETS = 5
HEAD_BYTES = 204 * (_PACKETS + 1)  # a recording may begin in the middle of a packet


def local_version(path: str) -> tuple[int, str]:
    """Size and version of a regular file.

    Raises:
        OSError: When it cannot be read; FileNotFoundError also when it is no regular file.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):  # before it is opened: to open a device may do something
        raise FileNotFoundError(f"{path} is not a file")
    # A pipe that took the file's place since must not keep the listing waiting.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        size = os.fstat(descriptor).st_size
        # Of a file below /proc, which says that it is empty, the content is another one each time.
        mark = hashlib.blake2b(os.pread(descriptor, min(_EDGE_BYTES, size), 0), digest_size=16)
        if size > _EDGE_BYTES:
            mark.update(os.pread(descriptor, _EDGE_BYTES, max(_EDGE_BYTES, size - _EDGE_BYTES)))
    finally:
        os.close(descriptor)
    return size, f"{size}-{mark.hexdigest()}"


def is_transport_stream(head: bytes) -> bool:
    """Whether a file that begins with these bytes is an MPEG transport stream; TypeScript ends in `.ts` too."""
    return any(
        len(marks := head[first::packet][:_PACKETS]) >= 2 and set(marks) == {_SYNC}
        for packet in _PACKET_BYTES
        for first in range(min(packet, len(head)))
    )
