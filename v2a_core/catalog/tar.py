"""Tar shards in WebDataset layout: `key.mp4` with an optional `key.json` or `key.txt` beside it.

An uncompressed shard is listed by its headers alone and its members are fetched by range reads; a compressed one is
read as a stream: once here, and once more, member by member, by the worker that decodes it (`shard_stream`). Neither
is ever held as a whole. No name inside a shard ever becomes a path.
"""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol, cast

from v2a_core.catalog.contents import HEAD_BYTES, is_transport_stream
from v2a_core.catalog.files import FileInfo, is_text, may_be_text, media_kind, readable
from v2a_core.catalog.formats import MAX_TEXT, TEXT_FIELDS
from v2a_core.catalog.shard_stream import is_compressed, open_shard
from v2a_core.catalog.tar_headers import BoundedStream, CheckedHeader
from v2a_core.media.types import MediaError

_MAX_SIDECAR = 1 << 20
_PLAIN_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)


@dataclass(frozen=True)
class Member:
    """A video or image inside a shard; `offset` counts in the decompressed shard."""

    name: str
    offset: int
    size: int
    labels: dict[str, str] = field(default_factory=dict)


@dataclass
class Shard:
    """What a shard holds: members in their order, what is wrong with it, what was passed over and how often."""

    members: list[Member] = field(default_factory=list)
    rejects: list[tuple[str, MediaError]] = field(default_factory=list)  # member name ("" for the shard), error
    skipped: Counter[str] = field(default_factory=Counter)


class ShardLister(Protocol):
    """What lists shards, several at once, here or elsewhere.

    Attributes:
        at_once: How many are asked for before the first is waited for.
    """

    at_once: int

    def submit(self, info: FileInfo, max_bytes: int, *, heard: bool) -> Future[Shard]:
        """Begin to list a shard; for the arguments see `list_shard`."""


def list_shard(info: FileInfo, max_bytes: int, *, heard: bool = False) -> Shard:
    """List a shard. Damage ends the listing with a reject; the members before it are kept.

    Args:
        info: The shard.
        max_bytes: A larger member is rejected; in a compressed shard it also ends the listing, because passing over
            it means to decompress it.
        heard: Whether sounds are looked for, instead of pictures.
    """
    shard = Shard()
    sidecars: dict[str, dict[str, str]] = {}
    compressed = is_compressed(info.uri)
    reached = None
    try:
        with open_shard(info.uri) as stream:
            reached = BoundedStream(stream, info.size) if compressed else None
            with _open_archive(stream, reached) as archive:
                for entry in _entries(archive, None if compressed else info.size, max_bytes, shard):
                    _take(archive, entry, shard, sidecars, heard)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        kind = error.error_type if isinstance(error, MediaError) else "Truncated"
        message = f"the shard cannot be read to its end: {error or type(error).__name__}"
        shard.rejects.append(("", MediaError("catalog", kind, message)))
    # A stream may have ended inside the last member that it announced.
    whole = [item for item in shard.members if reached is None or item.offset + item.size <= reached.position]
    shard.members = [_labelled(member, sidecars) for member in whole]
    return shard


def _open_archive(stream: BinaryIO, bounded: BoundedStream | None) -> tarfile.TarFile:
    if bounded:
        # In this mode tarfile only reads.
        return tarfile.open(fileobj=cast(BinaryIO, bounded), mode="r|", tarinfo=CheckedHeader)
    return tarfile.open(fileobj=stream, mode="r:", tarinfo=CheckedHeader)


def _entries(archive: tarfile.TarFile, end: int | None, max_bytes: int, shard: Shard) -> Iterator[tarfile.TarInfo]:
    """Plain files that are wholly there and have a name that can be written down."""
    while (entry := archive.next()) is not None:
        # tarfile keeps every header it has seen: those of a shard of millions would fill the memory.
        archive.members = []  # type: ignore[attr-defined]
        if entry.isdir():
            continue
        if entry.type not in _PLAIN_TYPES or entry.issparse():
            shard.skipped["link, device or sparse file in a shard"] += 1
        elif end is not None and entry.offset_data + entry.size > end:
            raise MediaError("catalog", "Truncated", f"it ends inside {readable(entry.name)!r}")
        elif not is_text(entry.name):
            shard.rejects.append((readable(entry.name), MediaError("catalog", "BadName", "the name is not UTF-8")))
        elif entry.size > max_bytes:
            error = MediaError("catalog", "TooLarge", f"{entry.size:,} bytes; max_source_mb allows {max_bytes:,}")
            shard.rejects.append((entry.name, error))
            if end is None:
                raise MediaError("catalog", "TooLarge", f"listing ends at {entry.name!r}, which is too large")
        else:
            yield entry


def _take(
    archive: tarfile.TarFile, entry: tarfile.TarInfo, shard: Shard, sidecars: dict[str, dict[str, str]], heard: bool
) -> None:
    key, extension = _split_key(entry.name)
    if may_be_text(entry.name) and not is_transport_stream(_head(archive, entry, HEAD_BYTES)):
        shard.skipped["not media"] += 1
    elif media_kind(entry.name, heard=heard):
        shard.members.append(Member(entry.name, entry.offset_data, entry.size))
    elif extension in ("json", "txt") and entry.size <= _MAX_SIDECAR:
        try:
            labels = _read_sidecar(_head(archive, entry, _MAX_SIDECAR), extension)
        except (ValueError, RecursionError):  # lists in lists in lists
            shard.skipped["unreadable metadata in a shard"] += 1
        else:
            # JSON says more than a caption alone: it wins, whichever comes first.
            known = sidecars.get(key, {})
            sidecars[key] = {**known, **labels} if extension == "json" else {**labels, **known}
    else:
        shard.skipped["not media"] += 1


def _head(archive: tarfile.TarFile, entry: tarfile.TarInfo, size: int) -> bytes:
    content = archive.extractfile(entry)
    return content.read(size) if content else b""


def _read_sidecar(content: bytes, extension: str) -> dict[str, str]:
    text = content.decode()
    if extension == "txt":
        _check(text)
        return {"caption": text.strip()} if text.strip() else {}
    values = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError("not a JSON object")
    wanted = {name: values.get(name) for name in TEXT_FIELDS}
    texts = {name: str(value) for name, value in wanted.items() if isinstance(value, str | int | float) and value != ""}
    _check(*texts.values())
    return texts


def _check(*texts: str) -> None:
    """What cannot be written into a row is refused: too long, or half a pair of UTF-16, which JSON can spell."""
    if any(len(text) > MAX_TEXT or not is_text(text) for text in texts):
        raise ValueError(f"longer than {MAX_TEXT:,} characters, or no text")


def _labelled(member: Member, sidecars: dict[str, dict[str, str]]) -> Member:
    labels = sidecars.get(_split_key(member.name)[0])
    return Member(member.name, member.offset, member.size, labels) if labels else member


def _split_key(name: str) -> tuple[str, str]:
    """WebDataset's key: everything up to the first dot of the last part of the name."""
    folder, slash, base = name.rpartition("/")
    stem, _, extension = base.partition(".")
    return f"{folder}{slash}{stem}", extension.lower()
