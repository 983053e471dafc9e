"""Files that rows name: are they there, and are they those that were written?"""

from __future__ import annotations

from pathlib import PurePosixPath

import pyarrow as pa

from v2a_core import storage
from v2a_core.compute.threads import ScopedThreads
from v2a_core.storage.checksums import sha256_of
from v2a_core.verification.parts import Finding

_AT_ONCE = 8
_SIDES = ("audio", "video")


def check_media(output: str, table: pa.Table) -> list[Finding]:
    """The rows of a part of an index whose files are not there, or are others.

    Args:
        output: Folder or URI; the paths are relative to it.
        table: The part's columns `parts.KEPT`.
    """
    wanted: list[tuple[int, str, str, str | None]] = []  # row, what, path, sha256
    for row, values in enumerate(table.select([*_columns(), "loser_paths"]).to_pylist()):
        named = [(f"{side}_path", values[f"{side}_path"], values[f"{side}_sha256"]) for side in _SIDES]
        named += [("loser_paths", path, None) for path in values["loser_paths"] or []]
        wanted += [(row, column, path, sha256) for column, path, sha256 in named if path]
    with ScopedThreads(_AT_ONCE) as threads:
        faults = list(threads.map(lambda item: file_fault(output, item[2], item[3]), wanted))
    rows: dict[str, dict[int, str]] = {}
    sources = table["source_id"].to_pylist()
    for (row, column, path, _), fault in zip(wanted, faults, strict=True):
        if fault:
            rows.setdefault(f"{column}: {fault}", {})[row] = f"{sources[row]} ({path})"
    return [Finding(what, tuple(found), tuple(found.values())) for what, found in sorted(rows.items())]


def file_fault(output: str, path: str, sha256: str | None) -> str | None:
    """What is wrong with a file of an output, if anything.

    Args:
        output: Folder or URI.
        path: Of the file, inside.
        sha256: Of its content; None where nobody wrote it down.

    Raises:
        OSError: When it cannot be told: access is denied, the network is down.
    """
    if not _is_inside(path):
        return "the path leads out of the output"
    uri = storage.join(output, path)
    try:
        found, size = sha256_of(uri)
    except (FileNotFoundError, NotADirectoryError):
        return "there is no such file"
    except IsADirectoryError:
        return "a folder stands where the file was"
    if not size:
        return "the file is empty"
    return None if sha256 in (None, found) else "the file is not the one that was written (sha256)"


def _columns() -> list[str]:
    return ["source_id", *(f"{side}_{what}" for side in _SIDES for what in ("path", "sha256"))]


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path)
    return not parts.is_absolute() and ".." not in parts.parts and "://" not in path
