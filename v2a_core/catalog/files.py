"""Files of any fsspec filesystem: what there is, its version, its kind, its name."""

from __future__ import annotations

import datetime
import functools
import itertools
import os
import re
import stat as stat_mode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from v2a_core import storage
from v2a_core.catalog.contents import HEAD_BYTES, is_transport_stream, local_version
from v2a_core.compute.threads import ScopedThreads
from v2a_core.media.types import MediaError
from v2a_core.storage.access import is_web
from v2a_core.storage.filesystem import Entry, Filesystem, ObjectStore
from v2a_core.storage.pages import objects_below
from v2a_core.storage.public import public
from v2a_core.storage.ranges import Version

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts", ".m4v", ".mpg", ".mpeg", ".gif"})
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
SOUND_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3", ".m4a"})
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.zst")
TABLE_SUFFIXES = (".csv", ".parquet", ".jsonl", ".ndjson")

LISTING_BYTES = 2**30  # of the answers to a very long listing of a store: it gets the time of so many

_MAX_PART = 150
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")
_ODD = re.compile(rf"{_UNSAFE.pattern}|(?:^|/)\.{{0,2}}(?:/|$)")  # also: an empty part, or one of one or two dots
# What filesystems call that by which a new content is told.
_MARKS = ("ETag", "etag", "md5Hash", "LastModified", "Last-Modified", "mtime", "modified", "created")
_READERS, _FILES_AT_ONCE = 16, 128  # local files are read side by side: on a share that is waiting, not computing


@dataclass(frozen=True)
class FileInfo:
    """A file that exists.

    Attributes:
        uri: Absolute path of a local file, else its URI; opens the file.
        size: Bytes.
        version: Changes when the content changes: size, and a hash of both ends of a local file, else etag or time
            of modification. Empty of a file that is neither media nor a shard.
        error: Why it cannot be read, if that is known.
    """

    uri: str
    size: int = 0
    version: str = ""
    error: OSError | None = None


def media_kind(name: str, *, heard: bool = False) -> str | None:
    """`video`, `image`, or None for a name that is neither.

    Args:
        name: Path or URI.
        heard: Whether sounds are looked for: then `video`, `audio`, or None.
    """
    path = path_of(name)
    suffix = "." + path.rsplit(".", 1)[-1].lower() if "." in path else ""
    if suffix in VIDEO_SUFFIXES:
        return "video"
    if heard:
        return "audio" if suffix in SOUND_SUFFIXES else None
    return "image" if suffix in IMAGE_SUFFIXES else None


def is_tar(name: str) -> bool:
    """Whether a name is that of a tar shard."""
    return path_of(name).lower().endswith(TAR_SUFFIXES)


def is_table(name: str) -> bool:
    """Whether a name is that of a table."""
    return path_of(name).lower().endswith(TABLE_SUFFIXES)


def may_be_text(name: str) -> bool:
    """Whether only the content tells if it is a video: TypeScript and transport streams share `.ts`."""
    return path_of(name).lower().endswith(".ts")


def is_video_inside(uri: str) -> bool:
    """Whether a file that may be text is a transport stream.

    Raises:
        OSError: When it cannot be read.
    """
    if is_remote(uri):
        with storage.open_read(uri, HEAD_BYTES) as file:
            return is_transport_stream(file.read(HEAD_BYTES))
    with Path(uri).open("rb") as local:
        return is_transport_stream(local.read(HEAD_BYTES))


def path_of(uri: str) -> str:
    """A URI up to its query and fragment, where it can have them; elsewhere `?` and `#` are letters of a name."""
    return re.split("[?#]", uri, maxsplit=1)[0] if is_web(uri) else uri


def is_remote(uri: str) -> bool:
    """Whether a string names another filesystem. Anything without a protocol is a path, whatever is in it."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", uri) is not None and not uri.startswith("file://")


def local_path(uri: str) -> Path:
    """The absolute path of a local URI; links are kept as they are."""
    path = uri.removeprefix("file://")
    # `~name` is a name: a shell has replaced those of users, and a table's row has no shell.
    return Path(os.path.abspath(os.path.expanduser(path) if path == "~" or path.startswith("~/") else path))


def stat(uri: str) -> FileInfo:
    """Look a file up.

    Raises:
        FileNotFoundError: When there is no file.
        OSError: When it cannot be read.
    """
    if not is_remote(uri):
        path = str(local_path(uri))
        info = storage.look(path, lambda: _local_info(path))
        if info.error:
            raise info.error
        return info
    fs, path = storage.filesystem(uri)
    entry = storage.attempt(uri, lambda: fs.info(path))
    if entry["type"] != "file":
        raise FileNotFoundError(f"{public(uri)} is a folder, not a file")
    return remote_info(fs, entry)


def check_version(uri: str, version: str) -> None:
    """Check that a file is still the one that was listed.

    Args:
        uri: The file.
        version: As it was listed; empty when that is not known.

    Raises:
        FileNotFoundError: When there is no file.
        OSError: When it cannot be read.
        MediaError: When its version is another one.
    """
    if not version and is_remote(uri):
        return
    if (info := stat(uri)).version != version and version:
        raise MediaError(
            "fetch",
            "Changed",
            f"{public(uri)} was replaced after it was listed: {info.size:,} bytes of another content; the next run "
            "lists it again",
        )


def stat_all(paths: Iterable[str]) -> Iterator[FileInfo]:
    """Look many local files up, side by side; those that cannot be read have an `error`."""
    waiting = iter(paths)
    groups = iter(lambda: list(itertools.islice(waiting, _FILES_AT_ONCE)), [])
    with ScopedThreads(_READERS) as pool:
        # Not all at once: a million results would wait in memory for whoever reads them.
        for run in iter(lambda: list(itertools.islice(groups, _READERS)), []):
            for found in pool.map(_local_infos, run):
                yield from found


def walk(uri: str) -> Iterator[FileInfo]:
    """All files below a folder or prefix, by name; hidden ones (a part begins with `.`) are left out.

    A link that leads nowhere and a folder inside that may not be read have an `error`.
    """
    if is_remote(uri):
        fs, path = storage.filesystem(uri)
        for entry in _objects(fs, path, uri):
            below = entry["name"][len(path) :].strip("/")
            if below and not hidden(below):
                yield remote_info(fs, entry)
        return
    folder = str(local_path(uri))
    for info in stat_all(storage.look_through(folder, _local_files(folder, set()))):
        if not isinstance(info.error, FileNotFoundError) or os.path.islink(info.uri):  # else removed since
            yield info


def _objects(fs: Filesystem, path: str, uri: str) -> Iterator[Entry]:
    """The files below a folder of another filesystem, by name."""
    if isinstance(fs, ObjectStore):
        yield from objects_below(fs, path, uri)
        return
    fs.invalidate_cache()
    found = storage.attempt(uri, lambda: fs.find(path, detail=True), LISTING_BYTES)
    yield from (found[name] for name in sorted(found) if found[name]["type"] == "file")


def version_of_object(uri: str, version: str) -> Version | None:
    """Size and ETag of an object of S3, out of its version; None of other files."""
    size, _, etag = version.partition("-")
    return Version(int(size), etag) if uri.startswith(("s3://", "s3a://")) and size.isdecimal() and etag else None


def remote_info(fs: Filesystem, entry: Entry) -> FileInfo:
    """From what a filesystem tells about a file."""
    size = int(entry.get("size") or 0)
    values: Mapping[str, object] = entry
    marks = (
        values.get(key)
        for key in ("ETag", "etag", "md5Hash", "LastModified", "Last-Modified", "mtime", "modified", "created")
    )
    mark = next((mark for mark in marks if mark), "")
    if isinstance(mark, datetime.datetime):
        # The same on every machine, whatever its time zone, and whether a listing or a look-up gave it.
        mark = (mark if mark.tzinfo else mark.replace(tzinfo=datetime.UTC)).timestamp()
    text = f"{mark:.6f}" if isinstance(mark, float) else str(mark).strip('"')
    return FileInfo(fs.unstrip_protocol(entry["name"]), size, f"{size}-{text}")


def hidden(name: str) -> bool:
    """Whether a part of a relative path begins with a dot."""
    return any(part.startswith(".") for part in name.split("/"))


def safe_name(name: str) -> str:
    """A relative posix path that stays below the folder it is joined to, whatever the name was."""
    if len(name) <= _MAX_PART and not _ODD.search(name):
        return name
    parts = [_UNSAFE.sub("_", part)[-_MAX_PART:] for part in name.split("/")]
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
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half of a pair of UTF-16, as JSON can spell it
        return name.encode("utf-8", "backslashreplace").decode()


def _local_infos(paths: Sequence[str]) -> list[FileInfo]:
    """Look files up in their order; where one hangs, those of its folder are not asked for, and the others are."""
    found: list[FileInfo] = []
    dead: dict[str, OSError] = {}
    while len(found) < len(paths):
        some: list[FileInfo] = []
        rest = itertools.takewhile(lambda path: os.path.dirname(path) not in dead, paths[len(found) :])
        try:
            storage.look(paths[len(found)], functools.partial(some.extend, map(_local_info, rest)))
        except TimeoutError as error:
            found += some
            dead[os.path.dirname(paths[min(len(found), len(paths) - 1)])] = error
        else:
            found += some
        for path in itertools.takewhile(lambda path: os.path.dirname(path) in dead, paths[len(found) :]):
            found.append(FileInfo(path, error=dead[os.path.dirname(path)]))
    return found


def _local_info(path: str) -> FileInfo:
    try:
        if media_kind(path) or media_kind(path, heard=True) or is_tar(path):
            return FileInfo(path, *local_version(path))
        mode = os.stat(path).st_mode
        if stat_mode.S_ISDIR(mode):
            os.scandir(path).close()  # a walk gives it when this fails
        if not stat_mode.S_ISREG(mode):
            raise FileNotFoundError(f"{path} is not a file")
    except OSError as error:
        return FileInfo(path, error=error)
    return FileInfo(path)


def _local_files(folder: str, above: set[str]) -> Iterator[str]:
    """Files below a folder, links that lead nowhere, and folders that may not be read, by their paths.

    Linked folders are followed, but not in circles.
    """
    real = os.path.realpath(folder)
    if real in above:
        return
    try:
        entries = os.scandir(folder)
    except PermissionError:
        if not above:
            raise
        yield folder
        return
    # Sorted folder by folder: what is in one, whose path goes on with a slash, has its place among the names.
    with entries:
        names = sorted(_wanted(entries))
    for name in names:
        path = os.path.join(folder, name)
        if name.endswith("/"):
            yield from _local_files(path[:-1], above | {real})
        else:
            yield path


def _wanted(entries: Iterable[os.DirEntry[str]]) -> Iterator[str]:
    """Names of what is in a folder, those of folders with a slash behind them."""
    for entry in entries:
        if entry.name.startswith("."):
            continue
        try:
            inside, wanted = entry.is_dir(), entry.is_file() or entry.is_symlink()
        except OSError:  # a link to itself
            inside, wanted = False, True
        if inside:
            yield f"{entry.name}/"
        elif wanted:
            yield entry.name
