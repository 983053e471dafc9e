"""Files anywhere fsspec reaches: atomic writes, local copies, JSON.

A file is never seen half written: locally it is written beside its final name and renamed; on an object store a
put is atomic by itself. Transfers that are cut are tried again, a bounded number of times. Failures are OSErrors,
whatever library noticed them.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from fsspec.implementations.local import LocalFileSystem

from v2a_core.storage import trouble
from v2a_core.storage.access import attempt, filesystem, refuse_password
from v2a_core.storage.public import public
from v2a_core.storage.ranges import Version, chunks, open_ranges

# How object stores refuse a conditional put: there is an object, or another one is put just now.
_NOT_CREATED = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})
# A file system that has no hard links, as those of some memory cards and shares.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EOPNOTSUPP})
_BLOCK_BYTES = 2**20  # what is read ahead of a reader that seeks


JSON_BYTES = 64 * 2**20


def is_local(uri: str) -> bool:
    """Whether a URI or path is on this machine's file system; nothing is opened or connected to."""
    refuse_password(uri)
    scheme, separator, _ = uri.partition("://")
    return not separator or scheme in ("file", "local")


def canonical(uri: str) -> str:
    """One spelling for one file: an absolute path for local files, the URI as given otherwise."""
    return str(filesystem(uri)[1]) if is_local(uri) else uri.rstrip("/")


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
    return b"".join(chunks(fs, path, uri))


@contextlib.contextmanager
def open_read(uri: str, block_bytes: int = _BLOCK_BYTES) -> Iterator[BinaryIO]:
    """A file to read and seek in, for readers that want parts of it; a remote one is read `block_bytes` ahead."""
    fs, path = filesystem(uri)
    if isinstance(fs, LocalFileSystem):
        with Path(path).open("rb") as file:
            yield file
        return
    with io.BufferedReader(open_ranges(fs, path, uri), block_bytes) as buffered:
        yield cast(BinaryIO, buffered)


def read_json(uri: str) -> Any:
    """The JSON document at `uri`.

    Raises:
        FileNotFoundError: When there is none.
        ValueError: When it is not JSON, or so large that nothing which this program reads could be in it.
    """
    with open_read(uri) as file:
        size = file.seek(0, io.SEEK_END)
    if size > JSON_BYTES:
        raise ValueError(f"{uri} has {size:,} bytes, a JSON document has {JSON_BYTES:,} at most: it is not read")
    try:
        return json.loads(read_bytes(uri))
    except (ValueError, RecursionError) as error:  # the latter: brackets nested without end
        raise ValueError(f"{uri} is not valid JSON: {error}") from None


def write_bytes(uri: str, data: bytes) -> None:
    """Write a whole file, atomically."""
    with writing(uri) as path:
        path.write_bytes(data)


def write_json(uri: str, value: object) -> None:
    """Write a JSON document, atomically, indented for reading."""
    write_bytes(uri, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def create_json(uri: str, value: object) -> None:
    """Write a JSON document where there is no file yet, atomically: of several that try at once, one succeeds.

    Raises:
        FileExistsError: When there is a file. After an attempt whose answer was lost, it may be the one that was asked
            for.
    """
    data = (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
    fs, path = filesystem(uri)
    if not isinstance(fs, LocalFileSystem):
        # On S3 a conditional put; elsewhere fsspec looks before it writes.
        try:
            attempt(uri, lambda: fs.pipe_file(path, data, mode="create"))
        except OSError as error:
            if trouble.store_code(error) in _NOT_CREATED:
                raise FileExistsError(f"{public(uri)} is there already") from None
            raise
        return
    parent = Path(path).parent
    parent.mkdir(parents=True, exist_ok=True)
    temporary = parent / f".{uuid.uuid4().hex}"
    try:
        temporary.write_bytes(data)
        try:
            os.link(temporary, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            with Path(path).open("xb") as file:
                file.write(data)
    finally:
        temporary.unlink(missing_ok=True)


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
            with trouble.full_disks_told(temporary):
                yield temporary
            _sync(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        return
    with tempfile.TemporaryDirectory(prefix="v2a-") as folder:
        temporary = Path(folder) / name[-64:]
        with trouble.full_disks_told(temporary):
            yield temporary
        attempt(uri, lambda: fs.put_file(str(temporary), path), temporary.stat().st_size)


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


def download(uri: str, target: Path, version: Version | None = None) -> None:
    """Copy the file `uri` to a local path.

    Args:
        uri: The file.
        target: The path.
        version: Of an object of S3, which one it must be; nothing but its bytes is asked for then.

    Raises:
        ReplacedError: When it is another one.
    """
    fs, path = filesystem(uri)
    if isinstance(fs, LocalFileSystem):
        shutil.copyfile(path, target)
        return
    with target.open("wb") as file:
        for chunk in chunks(fs, path, uri, version):
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


def check_there(output: str, file: str) -> None:
    """End a run whose output was renamed or removed meanwhile, rather than begin a second one in its place.

    Args:
        output: Folder or URI of the output; only those of this machine are looked at.
        file: A file that was in it when the run began.

    Raises:
        StorageStopError: When it is gone.
    """
    if "://" not in output and not os.path.exists(join(output, file)) and not _is_listed(output, file):
        raise trouble.StorageStopError(
            f"{output} was renamed or removed while it was written: there is no {file} in it any more; what was made "
            "is where it went, the same command goes on from there when it is back"
        )


def missing_folders(uri: str) -> list[Path]:
    """The folders of this machine, the innermost first, that making the folder `uri` would make."""
    if not is_local(uri):
        return []
    folder = Path(canonical(uri))
    return [path for path in (folder, *folder.parents) if not os.path.exists(path)]


@contextlib.contextmanager
def gone_when_empty(folders: Sequence[Path]) -> Iterator[None]:
    """After the block, folders that were made for nothing are gone.

    Args:
        folders: What `missing_folders` found before the block.
    """
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # there is something in it, or it could not be made
            for folder in folders:
                folder.rmdir()


def remove(uri: str) -> None:
    """Remove one file, if it is there."""
    fs, path = filesystem(uri)
    with contextlib.suppress(FileNotFoundError):
        attempt(uri, lambda: fs.rm_file(path))


def _is_listed(folder: str, name: str) -> bool:
    """Whether a listing has a file: a network share may remember for a minute that there was none, a listing asks."""
    try:
        return name in os.listdir(folder)
    except OSError:
        return False


def _sync(path: Path) -> None:
    """Data reaches the disk before the name does, so that a power cut leaves no empty file behind a final name."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
