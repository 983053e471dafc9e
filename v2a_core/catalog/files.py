"""Files of any fsspec filesystem: what there is, its version, its kind, its name."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import stat as stat_mode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from v2a_core import storage

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts", ".m4v", ".mpg", ".mpeg", ".gif"})
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.zst")
TABLE_SUFFIXES = (".csv", ".parquet", ".jsonl", ".ndjson")

_MAX_PART = 150


@dataclass(frozen=True)
class FileInfo:
    """A file that exists.

    Attributes:
        uri: Absolute path of a local file, else its URI; opens the file.
        size: Bytes.
        version: Changes when the content changes: size, and etag or time of modification.
    """

    uri: str
    size: int
    version: str


def media_kind(name: str) -> str | None:
    """`video`, `image`, or None for a name that is neither."""
    suffix = "." + name.rsplit(".", 1)[-1].lower() if "." in name else ""
    if suffix in VIDEO_SUFFIXES:
        return "video"
    return "image" if suffix in IMAGE_SUFFIXES else None


def is_tar(name: str) -> bool:
    """Whether a name is that of a tar shard."""
    return name.lower().endswith(TAR_SUFFIXES)


def is_table(name: str) -> bool:
    """Whether a name is that of a table."""
    return name.lower().endswith(TABLE_SUFFIXES)


def is_remote(uri: str) -> bool:
    """Whether a string names another filesystem. Anything without a protocol is a path, whatever is in it."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", uri) is not None and not uri.startswith("file://")


def local_path(uri: str) -> Path:
    """The absolute path of a local URI; links are kept as they are."""
    return Path(os.path.abspath(Path(uri.removeprefix("file://")).expanduser()))


def stat(uri: str) -> FileInfo:
    """Look a file up.

    Raises:
        FileNotFoundError: When there is no file.
    """
    if not is_remote(uri):
        return _local_info(str(local_path(uri)))
    fs, path = storage.filesystem(uri)
    info = fs.info(path)
    if info["type"] != "file":
        raise FileNotFoundError(f"{uri} is a folder, not a file")
    return remote_info(fs, info)


def walk(uri: str) -> Iterator[FileInfo]:
    """All files below a folder or prefix, by name; hidden ones (a part begins with `.`) are left out."""
    if is_remote(uri):
        fs, path = storage.filesystem(uri)
        fs.invalidate_cache()
        found = fs.find(path, detail=True)
        for name in sorted(found):
            below = name[len(path) :].strip("/")
            if below and found[name]["type"] == "file" and not hidden(below):
                yield remote_info(fs, found[name])
        return
    for path in sorted(_local_files(local_path(uri), set())):
        with contextlib.suppress(FileNotFoundError):  # removed since
            yield _local_info(path)


def remote_info(fs: Any, info: dict[str, Any]) -> FileInfo:
    """From what a filesystem tells about a file."""
    size = int(info.get("size") or 0)
    marks = (info.get(key) for key in ("ETag", "etag", "md5Hash", "LastModified", "mtime", "modified", "created"))
    mark = next((mark for mark in marks if mark), "")
    if isinstance(mark, datetime.datetime):
        # The same on every machine, whatever its time zone, and whether a listing or a look-up gave it.
        mark = (mark if mark.tzinfo else mark.replace(tzinfo=datetime.UTC)).timestamp()
    text = f"{mark:.6f}" if isinstance(mark, float) else str(mark).strip('"')
    return FileInfo(fs.unstrip_protocol(info["name"]), size, f"{size}-{text}")


def hidden(name: str) -> bool:
    """Whether a part of a relative path begins with a dot."""
    return any(part.startswith(".") for part in name.split("/"))


def safe_name(name: str) -> str:
    """A relative posix path that stays below the folder it is joined to, whatever the name was."""
    parts = [re.sub(r"[\x00-\x1f\x7f\\]", "_", part)[-_MAX_PART:] for part in name.split("/")]
    return "/".join(part for part in parts if part not in ("", ".", "..")) or "unnamed"


def is_text(name: str) -> bool:
    """Whether a name can be written as UTF-8; names from old archives and disks sometimes cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def readable(name: str) -> str:
    """A name that can be written and read, whatever bytes it was made of."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _local_info(path: str) -> FileInfo:
    status = os.stat(path)
    if not stat_mode.S_ISREG(status.st_mode):
        raise FileNotFoundError(f"{path} is not a file")
    return FileInfo(path, status.st_size, f"{status.st_size}-{status.st_mtime_ns}")


def _local_files(folder: Path, above: set[str]) -> Iterator[str]:
    """Files below a folder; linked folders are followed, but not in circles."""
    real = os.path.realpath(folder)
    if real in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _local_files(Path(entry.path), above | {real})
            elif entry.is_file():
                yield entry.path
