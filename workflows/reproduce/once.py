"""What is made once: a step that keeps no ledger of its own is not done again for the same request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from v2a_core import storage
from v2a_core.outputs import manifest
from v2a_core.protocols import JSON


def once(note: str, request: Mapping[str, JSON], result: str, make: Callable[[], object]) -> bool:
    """Make something, unless it was made for the same request before and is there.

    Args:
        note: A file that remembers the request.
        request: All that the result depends on.
        result: The last file that is written.
        make: Makes it.

    Returns:
        Whether it was made now.
    """
    if storage.exists(result) and _read(note) == dict(request):
        return False
    make()
    storage.write_json(note, dict(request))
    return True


def state_of(output: str) -> dict[str, JSON]:
    """What tells two states of an output apart: which one it is, its parts, and when it was last written."""
    made_by = manifest.load(output)
    contents: Mapping[str, Any] = made_by.get("contents") or {}
    return {
        "output": made_by.get("output_id"),
        "status": made_by.get("status"),
        "parts": {name: int(rows) for name, rows in sorted((contents.get("parts") or {}).items())},
    }


def _read(note: str) -> object:
    try:
        return storage.read_json(note)
    except (FileNotFoundError, ValueError):
        return None
