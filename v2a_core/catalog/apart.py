"""An output must not lie where its inputs are looked for: the next run would take results for sources."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Sequence
from pathlib import Path

from v2a_core.catalog import files
from v2a_core.config import ConfigError
from v2a_core.storage.public import public

# Folders that jobs make inside their output.
_OWN = ("audio", "video", "candidates", "index", "rows", "unfinished")
_WILD = re.compile(r"[*?\[{]")


def check_apart(catalog: Sequence[str], output: str) -> None:
    """Refuse an output inside what is listed, and an input inside what a run writes.

    An input in another folder of the output (`work/clips`, with output `work`) is nobody's result, and is allowed.

    Args:
        catalog: The inputs as a person named them.
        output: Folder or URI of the output; it need not exist.

    Raises:
        ConfigError: Naming both.
    """
    target = _parts(output)
    for given in catalog:
        literal = _parts(given)
        if _exists(given) or not _WILD.search(given):
            if _is_inside(target, literal):
                where = "is its own input" if target == literal else "lies inside its input"
                raise ConfigError(_refusal(given, output, where))
        elif _reaches(given, target):
            raise ConfigError(_refusal(given, output, "is matched by its input"))
        fixed = _parts(_WILD.split(given)[0].rpartition("/")[0] or ".") if _WILD.search(given) else literal
        if len(fixed) > len(target) and _is_inside(fixed, target) and fixed[len(target)] in _OWN:
            raise ConfigError(
                f"{public(given)!r} is what runs with --output {public(output)!r} write: choose another output"
            )


def _refusal(given: str, output: str, where: str) -> str:
    return (
        f"--output {public(output)!r} {where} {public(given)!r}: the next run would take results for sources; choose a "
        "folder beside it"
    )


def _exists(given: str) -> bool:
    """Whether a local path is there as it is spelled, wildcards and all."""
    return not files.is_remote(given) and os.path.lexists(files.local_path(given))


def _parts(uri: str) -> tuple[str, ...]:
    """The place of a path or URI, folder by folder; links are followed."""
    if not files.is_remote(uri):
        return Path(os.path.realpath(files.local_path(uri))).parts
    scheme, _, rest = files.path_of(uri).partition("://")
    return (f"{scheme.lower().replace('s3a', 's3')}://", *(part for part in rest.split("/") if part))


def _is_inside(inner: tuple[str, ...], outer: tuple[str, ...]) -> bool:
    """Whether a place is another one, or lies below it."""
    if inner[: len(outer)] == outer:
        return True
    if "://" in inner[0] or "://" in outer[0]:
        return False
    # The same folder under two names: a mount, or a disk that does not tell `A` from `a`.
    there = os.path.join(*outer)
    above = (os.path.join(*inner[:depth]) for depth in range(len(inner), 0, -1))
    return any(os.path.exists(place) and os.path.exists(there) and os.path.samefile(place, there) for place in above)


def _reaches(pattern: str, target: tuple[str, ...]) -> bool:
    """Whether a glob may match a folder that a place lies in, or files inside it."""
    fixed, _, wild = _split(pattern)
    parts = (*_parts(fixed or "."), *wild.split("/"))
    for part, folder in zip(parts, target, strict=False):
        if "**" in part:
            return True
        if part != folder and not fnmatch.fnmatchcase(folder, part):
            return False
    return True


def _split(pattern: str) -> tuple[str, str, str]:
    """What stands before the first part with a wildcard, and from it on; braces are taken for `*`."""
    plain = re.sub(r"\{[^{}]*\}", lambda found: "**" if "/" in found.group() else "*", pattern)
    start = _WILD.search(plain)
    cut = plain.rfind("/", 0, start.start()) if start else len(plain)
    return plain[: max(cut, 0)] or ("/" if plain.startswith("/") else ""), "/", plain[cut + 1 :]
