"""Sha256 of weight files, and what else is found by reading all of them.

It is remembered, so that gigabytes are not read again by every process.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from v2a_core import storage

_MD5 = "md5:"


def cache_folder() -> Path:
    """Where fetched models live: `$V2A_CACHE`, or `~/.cache/v2a`."""
    return Path(os.environ.get("V2A_CACHE") or Path.home() / ".cache" / "v2a").expanduser()


def sha256(path: Path) -> str:
    """Sha256 of a file, hex; remembered."""
    return remembered(path, "sha256", _hash)


def as_expected(path: Path, expected: str) -> str:
    """The digest of a file in the kind of an expected one: sha256 in hex, or `md5:` and hex, which some publish."""
    if expected.startswith(_MD5):
        return _MD5 + remembered(path, "md5", lambda file: _hash(file, "md5"))
    return sha256(path)


def remembered(path: Path, what: str, find: Callable[[Path], str]) -> str:
    """What was found out about a file once: kept in the cache folder by path, size and time of change.

    Args:
        path: The file.
        what: Name of what is found.
        find: Reads the file.
    """
    key, note = _note(path, what)
    with contextlib.suppress(OSError, ValueError, KeyError):
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["key"] == key:
            return str(known[what])
    found = find(path)
    remember(path, what, found)
    return found


def remember(path: Path, what: str, found: str) -> None:
    """Note what is known of a file: it was read before it came to its place."""
    key, note = _note(path, what)
    with contextlib.suppress(OSError):  # a read-only home costs time, not correctness
        storage.write_json(str(note), {"key": key, what: found})


def _note(path: Path, what: str) -> tuple[str, Path]:
    status = path.resolve().stat()
    key = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}|{status.st_ino}"
    key = key if what == "sha256" else f"{key}|{what}"
    return key, cache_folder() / "digests" / f"{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}.json"


def tree(folder: Path) -> dict[str, Path]:
    """The files of a folder by relative posix name, sorted; hidden ones left out."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: files[name] for name in sorted(files) if not any(part.startswith(".") for part in name.split("/"))}


def fingerprint(files: Mapping[str, Path]) -> str:
    """Sha256 of a component: of its only file, or of the sorted lines `sha256  name` of several."""
    digests = {name: sha256(path) for name, path in files.items()}
    if len(digests) == 1:
        return next(iter(digests.values()))
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _hash(path: Path, kind: str = "sha256") -> str:
    state = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(2**22):
            state.update(block)
    return state.hexdigest()
