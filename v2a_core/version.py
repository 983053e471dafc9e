"""The version of this program: the one place that says it. The packaging reads it from here."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

__version__ = "0.1.0"

_FOLDER = Path(__file__).resolve().parent
# What a build and `cluster/submit.sh` write beside the code, because history does not travel with it.
COMMIT_FILE = _FOLDER / "commit.txt"
UNKNOWN = "unknown"


@functools.cache
def commit() -> str:
    """The commit that this code is from; `-dirty` follows when files differ from it, `unknown` when nothing tells."""
    checkout = _FOLDER.parent
    if (checkout / ".git").exists():
        return _described(checkout)
    try:
        return COMMIT_FILE.read_text(encoding="utf-8").strip() or UNKNOWN
    except OSError:
        return UNKNOWN


def program() -> dict[str, str]:
    """What an output records of the program that made it: `name`, `version`, `commit`."""
    return {"name": "v2a", "version": __version__, "commit": commit()}


def _described(checkout: Path) -> str:
    git = shutil.which("git")
    if git is None:
        return UNKNOWN
    # Tags are left out: the version is said above, and nowhere else.
    command = [git, "-C", str(checkout), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN
    return told.stdout.strip() or UNKNOWN
