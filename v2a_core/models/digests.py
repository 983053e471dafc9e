"""Sha256 of weight files, remembered, so that gigabytes are not hashed again by every process."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from v2a_core import storage


def cache_folder() -> Path:
    """Where fetched models live: `$V2A_CACHE`, or `~/.cache/v2a`."""
    return Path(os.environ.get("V2A_CACHE") or Path.home() / ".cache" / "v2a").expanduser()


def sha256(path: Path) -> str:
    """Sha256 of a file, hex. Remembered in the cache folder by path, size and time of change."""
    status = path.resolve().stat()
    key = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}|{status.st_ino}"
    note = cache_folder() / "digests" / f"{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}.json"
    with contextlib.suppress(OSError, ValueError, KeyError):
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["key"] == key:
            return str(known["sha256"])
    digest = _hash(path)
    with contextlib.suppress(OSError):  # a read-only home costs time, not correctness
        storage.write_json(str(note), {"key": key, "sha256": digest})
    return digest


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


def _hash(path: Path) -> str:
    state = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**22):
            state.update(block)
    return state.hexdigest()
