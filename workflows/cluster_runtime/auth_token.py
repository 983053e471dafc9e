"""The token that lets programs into the Ray of this machine: for its owner's eyes alone."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def keep_private() -> None:
    """Make the token before Ray does, or hide the one that is there: Ray's own can be read by every user."""
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return  # kept by somebody else
    path = Path.home() / ".ray" / "auth_token"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
        return
    with os.fdopen(file, "w") as opened:
        opened.write(secrets.token_hex(32))  # as Ray makes it
