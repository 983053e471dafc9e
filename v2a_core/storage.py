"""Files anywhere fsspec reaches: atomic writes, local copies, JSON.

A file is never seen half written: locally it is written beside its final name and renamed; on an object store a
put is atomic by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem


def filesystem(uri: str) -> tuple[Any, str]:
    """The filesystem behind a URI and the path on it. Made anew in each process: s3fs is not fork-safe."""
    return fsspec.core.url_to_fs(uri)  # type: ignore[no-any-return]


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
    return bool(fs.exists(path))


def list_files(uri: str, suffix: str = "") -> list[str]:
    """The files directly inside the folder `uri` whose names end with `suffix`, sorted; empty without the folder."""
    fs, path = filesystem(uri)
    fs.invalidate_cache()
    try:
        entries = fs.ls(path, detail=True)
    except FileNotFoundError:
        return []
    names = [entry["name"].rsplit("/", 1)[-1] for entry in entries if entry["type"] == "file"]
    return [join(uri, name) for name in sorted(names) if name.endswith(suffix) and not name.startswith(".")]


def read_bytes(uri: str) -> bytes:
    """The whole file."""
    fs, path = filesystem(uri)
    return bytes(fs.cat_file(path))


def read_json(uri: str) -> Any:
    """The JSON document at `uri`.

    Raises:
        FileNotFoundError: When there is none.
        ValueError: When it is not JSON.
    """
    try:
        return json.loads(read_bytes(uri))
    except json.JSONDecodeError as error:
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
            yield temporary
            _sync(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        return
    with tempfile.TemporaryDirectory(prefix="v2a-") as folder:
        temporary = Path(folder) / name[-64:]
        yield temporary
        fs.put_file(str(temporary), path)


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
        fs.get_file(path, str(local))
        yield local


def copy_tree(uri: str, folder: Path) -> None:
    """Copy the folder `uri` to a local folder."""
    fs, path = filesystem(uri)
    if isinstance(fs, LocalFileSystem):
        shutil.copytree(path, folder, dirs_exist_ok=True)
    else:
        fs.get(path.rstrip("/") + "/", str(folder) + "/", recursive=True)


def remove(uri: str) -> None:
    """Remove one file, if it is there."""
    fs, path = filesystem(uri)
    with contextlib.suppress(FileNotFoundError):
        fs.rm_file(path)


def _sync(path: Path) -> None:
    """Data reaches the disk before the name does, so that a power cut leaves no empty file behind a final name."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
