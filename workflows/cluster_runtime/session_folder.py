"""Where a Ray of this machine keeps its sessions: in a folder that no other user of the machine can enter.

Ray makes its session folders writable for everybody. Whoever can enter one can replace the code of a job, or its
sockets.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path

_PREFIX, _LOCK = "v2a-ray-", "lock"
# A socket's path takes at most 107 bytes, of which "/session_<date>_<time>_<pid>/sockets/plasma_store" takes these.
_LONGEST_BASE = 107 - len("/v2a-ray-12345678/ray/session_2030-01-01_00-00-00_000000_1234567/sockets/plasma_store")
_KEPT_S = 3600.0  # after a session, for who wants to read Ray's logs
_locks: list[int] = []  # held until this process ends, however it ends


def make() -> str:
    """A new folder for a Ray session; those of the user's sessions that are long over are removed."""
    base = _base()
    _remove_old(base)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))  # for its owner alone
    # The lock is there from the moment on at which its name is.
    unnamed = folder / f".{_LOCK}"
    lock = os.open(unnamed, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    unnamed.rename(folder / _LOCK)
    _locks.append(lock)
    # Ray opens the folder that it is given to everybody: not the one around it.
    return str(folder / "ray")


def _base() -> Path:
    for name in (os.environ.get("RAY_TMPDIR"), tempfile.gettempdir()):
        if name and len(os.fsencode(name)) <= _LONGEST_BASE and _is_safe(Path(name)):
            return Path(name)
    return Path("/tmp")  # noqa: S108 (short, and sticky everywhere)


def _is_safe(folder: Path) -> bool:
    """Whether nobody else can move away what is made in a folder."""
    with contextlib.suppress(OSError):
        found = folder.stat()
        shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        return found.st_uid in (0, os.getuid()) and (not shared or bool(found.st_mode & stat.S_ISVTX))
    return False


def _remove_old(base: Path) -> None:
    for folder in base.glob(f"{_PREFIX}????????"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            with (folder / _LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                written = (log.stat().st_mtime for log in folder.glob("ray/session_*/logs/*"))
                if time.time() - max(written, default=0.0) > _KEPT_S:
                    shutil.rmtree(folder, ignore_errors=True)
