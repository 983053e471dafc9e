"""What a bundle was at first contact: the digest, size and commit of each of its files, to compare with what it is now.

`v2a models fetch` writes it beside the copy and into the cache folder; `v2a models show --resolve` compares.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TypedDict

from v2a_core import storage
from v2a_core.models import digests
from v2a_core.models.bundle import Bundle
from v2a_core.models.local import LocalBundle
from v2a_core.storage.public import public

LOCK_FILE = "lock.json"
# Where the model hub's cache keeps a commit.
_SNAPSHOT = re.compile(r"/snapshots/(?P<commit>[0-9a-f]{40})/")


class LockedFile(TypedDict):
    """A file of a bundle."""

    sha256: str
    bytes: int


class LockedPart(TypedDict):
    """Where a part came from.

    `revision` is the commit of its hub repository; empty for what comes from elsewhere.
    """

    weights: str
    revision: str


class Lock(TypedDict):
    """The content of the file; names of files are `PART/NAME`, as in checksums."""

    bundle: str
    parts: dict[str, LockedPart]
    files: dict[str, LockedFile]


def lock(bundle: Bundle, local: LocalBundle) -> Lock:
    """What a bundle is now.

    Args:
        bundle: As it is written down.
        local: The same on this machine.
    """
    parts: dict[str, LockedPart] = {}
    files: dict[str, LockedFile] = {}
    for name, part in local.parts().items():
        commit = _SNAPSHOT.search(part.path.as_posix() + "/")
        weights = public(bundle.settings.parts()[name].weights)
        parts[name] = {"weights": weights, "revision": commit["commit"] if commit else ""}
        for inside, path in part.found.files.items():
            files[f"{name}/{inside}"] = {"sha256": digests.sha256(path), "bytes": path.stat().st_size}
    return {"bundle": bundle.name, "parts": parts, "files": files}


def write(locked: Lock, copy: str) -> None:
    """Write a lock down: beside a copy of the bundle, and in the cache folder, for the bundle by its name.

    Args:
        locked: What is written.
        copy: Folder or URI of the copy.
    """
    storage.write_json(storage.join(copy, LOCK_FILE), locked)
    with contextlib.suppress(OSError):  # a read-only home
        storage.write_json(str(_in_cache(locked["bundle"])), locked)


def find(bundle: Bundle) -> tuple[str, Lock] | None:
    """The lock of a bundle and where it lies: beside it, else in the cache folder; None without one."""
    for place in (storage.join(bundle.base, LOCK_FILE), str(_in_cache(bundle.name))):
        try:
            found: Lock = storage.read_json(place)
        except FileNotFoundError:
            continue
        return place, found
    return None


def differences(locked: Lock, now: Lock) -> list[str]:
    """What is not as it was, a sentence each."""
    before, after = locked["files"], now["files"]
    lines = [f"{name} is missing" for name in sorted(before.keys() - after.keys())]
    lines += [f"{name} is new" for name in sorted(after.keys() - before.keys())]
    for name in sorted(before.keys() & after.keys()):
        was, has = before[name], after[name]
        if was["sha256"] != has["sha256"]:
            lines.append(
                f"{name} has changed: {was['bytes']:,} bytes with sha256 {was['sha256']}, now {has['bytes']:,} bytes "
                f"with {has['sha256']}"
            )
    return lines


def _in_cache(name: str) -> Path:
    return digests.cache_folder() / "locks" / f"{name}.json"
