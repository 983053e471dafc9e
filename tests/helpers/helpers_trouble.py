"""Trouble that passes: disks that fill, files that vanish after they were listed, and come back."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(folder: Path, size: str, *more: str) -> Iterator[Path]:
    """A disk in memory of a size; skips where mounting is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ",".join([f"size={size}", *more])
    mount("-t", "tmpfs", "-o", options, "v2a-test", str(folder))
    try:
        yield folder
    finally:
        unmount(folder)


def mount(*arguments: str) -> None:
    """Mount, or skip the test."""
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not possible here: {done.stderr.strip()}")


def grow(folder: Path, size: str) -> None:
    """Give a disk in memory another size, or other rights."""
    subprocess.run(["mount", "-o", f"remount,{size}", str(folder)], check=True)


def unmount(folder: Path) -> None:
    """Take a disk away, also while somebody looks at it."""
    subprocess.run(["umount", "-l", str(folder)], check=False)


def after_listing(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """From now on something happens between the listing of a catalog and the work on it, once."""
    from workflows.streaming import catalog_job

    real, left = catalog_job.list_catalog, [act]

    def list_catalog(*arguments: object, **named: object) -> object:
        listing = real(*arguments, **named)
        if left:
            left.pop()()
        return listing

    monkeypatch.setattr(catalog_job, "list_catalog", list_catalog)


def forget(folder: Path) -> None:
    """What the system remembers of files is read from the disk again."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
