"""Names of output files: they mirror the catalog, and no catalog can choose where they go."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

# With the id and a suffix well below the 255 bytes of common file systems, whatever the script.
_MAX_COMPONENT, _MAX_BYTES = 80, 200
_MAX_DEPTH = 8


def output_stem(source_name: str, source_id: str) -> str:
    """A relative path without suffix, unique by the id, made of letters, digits, `_`, `-` and `.`.

    Args:
        source_name: The source's path inside its catalog; anything may be in it.
        source_id: The source's id, a hex string.

    Returns:
        Such as `rain/a_b-1f0c3a9be2d45b67`; never absolute, never with a component of dots alone.
    """
    path = PurePosixPath(source_name.replace("\\", "/"))
    parts = [part for part in (_clean(part) for part in path.parts) if part]
    stem = _clean(path.stem) or "source"
    return "/".join([*parts[:-1][-_MAX_DEPTH:], f"{stem}-{source_id[:16]}"])


def _clean(part: str) -> str:
    plain = unicodedata.normalize("NFKC", part)
    short = re.sub(r"[^\w.-]+", "_", plain)[:_MAX_COMPONENT]
    return short.encode()[:_MAX_BYTES].decode(errors="ignore").strip("._")
