"""What a file is by its first bytes, before any decoder sees it.

Decoders guess, and each guesses differently: one sees a video where another sees a playlist, and opens what the
playlist names. So the demuxer is chosen here, and given to the decoder by name.
"""

from __future__ import annotations

from pathlib import Path

from v2a_core.media.types import MediaError

# Names of ffmpeg demuxers. None of them opens a second file; hls, concat, dash, image2 and the like would.
CONTAINERS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,gif,flv,asf,ogg"

_HEAD_BYTES = 4096
_BLOCK_BYTES = 2**20

# The boxes that an MP4 or QuickTime file begins with.
_BOXES = frozenset(b"ftyp moov mdat free skip wide pnot styp moof sidx uuid junk pict udta prfl emsg prft meta".split())
_EBML = b"\x1a\x45\xdf\xa3"
_STARTS = (
    (_EBML, "matroska"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"FLV\x01", "flv"),
    (b"OggS", "ogg"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
    (b"\x00\x00\x01\xba", "mpeg"),  # the pack header of a programme stream
    (b"\x00\x00\x01\xb3", "mpegvideo"),  # a sequence header
    (b"\x00\x00\x01\xb0", "m4v"),  # a visual object sequence
)
_TS_SYNC = 0x47
_TS_PACKETS = (188, 192, 204)  # plain, with a time code (Blu-ray), with error correction
_TS_IN_A_ROW = 4


def container_of(path: Path, stage: str = "probe") -> str:
    """The ffmpeg demuxer that a video file is for.

    Raises:
        MediaError: When it begins like none that is opened here.
        OSError: When it cannot be read.
    """
    head = read_head(path)
    name = recognise(head)
    if name is None:
        begins = "it is empty" if not head else f"it begins with {head[:12]!r}"
        raise MediaError(stage, "UnknownFormat", f"not a readable video: {begins}, as no known container does")
    return name


def is_unmistakable(path: Path) -> bool:
    """Whether a decoder that guesses can only see an MP4 or a Matroska file.

    What else it could see is text. Text ends at a zero, which begins the size of every box below 16 MB; Matroska's
    first bytes begin no other format.
    """
    head = read_head(path)
    return head[:1] == b"\0" or head.startswith(_EBML)


def read_head(path: Path) -> bytes:
    """The first bytes of a file."""
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def read_through(path: Path) -> None:
    """Read a whole file: what looks damaged may be a disk or share that fails, which decoders do not tell apart.

    Raises:
        MediaError: With stage `fetch`, when it cannot be read.
    """
    try:
        with path.open("rb") as file:
            while file.read(_BLOCK_BYTES):
                pass
    except OSError as error:
        message = f"the file cannot be read: {error.strerror}"
        raise MediaError("fetch", type(error).__name__, message) from None


def recognise(head: bytes) -> str | None:
    """The ffmpeg demuxer for a file that begins with some bytes; None for all that is no known video."""
    for start, name in _STARTS:
        if head.startswith(start):
            return name
    if head[:4] == b"RIFF" and head[8:11] == b"AVI":
        return "avi"
    if head[4:8] in _BOXES:
        return "mov"
    return "mpegts" if _is_transport_stream(head) else None


def _is_transport_stream(head: bytes) -> bool:
    """Whether packets follow each other; the first may be cut. A short file has fewer."""
    for length in _TS_PACKETS:
        for offset in range(min(length, len(head))):
            marks = head[offset::length][: max(_TS_IN_A_ROW, 1)]
            if len(marks) >= 2 and all(mark == _TS_SYNC for mark in marks):
                return True
    return False
