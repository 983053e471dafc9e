"""What an input stands for: a file, a folder, a prefix, a glob, a brace pattern -> the files behind it."""

from __future__ import annotations

import glob
import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from braceexpand import braceexpand

from v2a_core import storage
from v2a_core.catalog import files
from v2a_core.catalog.files import FileInfo
from v2a_core.storage.access import is_web
from v2a_core.storage.filesystem import ObjectStore
from v2a_core.storage.pages import has_objects_below
from v2a_core.storage.public import public

_MAX_BRACES = 1_000_000
_DEEPEST = 33
_INNERMOST = re.compile(r"\{([^{}]*)\}")
_NUMBERS = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.-?(\d+))?")
_MARK = re.compile(r"\0(\d+)\0")  # no file has a name with a zero in it


@dataclass(frozen=True)
class Entry:
    """A file behind an input.

    Attributes:
        info: The file; of one that a pattern names and that is not there, its `error` is a FileNotFoundError.
        name: Its name inside the input.
        named: Whether the input names it, and not its folder.
    """

    info: FileInfo
    name: str
    named: bool


def expand(given: str, *, heard: bool = False) -> Iterator[Entry]:
    """The files behind an input. What exists literally is taken literally, whatever characters are in its name.

    Args:
        given: The input.
        heard: Whether sounds are looked for, instead of pictures.

    Raises:
        ValueError: When there is nothing.
    """
    if is_folder(given):
        yield from _below(given)
        return
    try:
        info = files.stat(given)
    except (FileNotFoundError, NotADirectoryError):
        yield from _expand_pattern(given)
        return
    if not (files.media_kind(info.uri, heard=heard) or files.is_tar(info.uri) or files.is_table(info.uri)):
        kinds = "a sound nor a video" if heard else "a video nor an image"
        raise ValueError(f"{public(given)!r} is neither {kinds}, a tar shard or a table, by its name")
    yield Entry(info, _base(info.uri), True)


def _expand_pattern(given: str) -> Iterator[Entry]:
    names = list(expand_braces(given))
    if len(names) == 1 and not _has_magic(names[0]):
        raise ValueError(f"{public(given)!r} does not exist: no file, no folder, nothing with this prefix")
    found = 0
    for name in names:
        if _has_magic(name):
            for entry in _glob(name):
                found += 1
                yield entry
            continue
        try:
            info = files.stat(name)
            found += 1
        except (FileNotFoundError, NotADirectoryError) as error:
            info = FileInfo(name, error=error)
        yield Entry(info, _base(name), True)
    if not found:
        raise ValueError(f"{public(given)!r} matches no file (tried {len(names)} name{'s' * (len(names) > 1)})")


def _glob(pattern: str) -> Iterator[Entry]:
    """Matches of a glob, files and whole folders, by name."""
    if files.is_remote(pattern):
        yield from _glob_remote(pattern)
        return
    pattern = str(files.local_path(pattern))
    matches = sorted(storage.look_through(pattern, glob.iglob(pattern, recursive=True)))
    fixed = _fixed(pattern)
    for are_folders, run in itertools.groupby(matches, is_folder):
        if not are_folders:
            for info in files.stat_all(run):
                yield Entry(info, info.uri[fixed:].lstrip("/"), True)
        elif "**" not in pattern:  # `**` already matched everything inside
            for folder in run:
                yield from _matched_folder(folder, fixed)


def _glob_remote(pattern: str) -> Iterator[Entry]:
    """The same elsewhere: what the listing tells of a match is not asked for again."""
    fs, path = storage.filesystem(pattern)
    found = storage.attempt(pattern, lambda: fs.glob(path, detail=True), files.LISTING_BYTES)
    pattern = fs.unstrip_protocol(path)
    fixed = _fixed(pattern)
    for name in sorted(found):
        if found[name]["type"] == "file":
            info = files.remote_info(fs, found[name])
            yield Entry(info, info.uri[fixed:].lstrip("/"), True)
        elif "**" not in pattern:
            yield from _matched_folder(fs.unstrip_protocol(name), fixed)


def _matched_folder(folder: str, fixed: int) -> Iterator[Entry]:
    name = folder[fixed:].lstrip("/")
    return (Entry(entry.info, f"{name}/{entry.name}", False) for entry in _below(folder))


def _fixed(pattern: str) -> int:
    """Characters of a pattern before the first part that is one."""
    return len(re.split(r"[*?\[]", pattern)[0].rpartition("/")[0])


def _below(folder: str) -> Iterator[Entry]:
    if files.is_remote(folder):
        fs, path = storage.filesystem(folder)
        base = fs.unstrip_protocol(path)
    else:
        base = str(files.local_path(folder))
    for info in files.walk(folder):
        yield Entry(info, info.uri[len(base) :].lstrip("/"), False)


def is_folder(given: str) -> bool:
    """Whether a path or URI is a folder, or a prefix with files below it."""
    if not files.is_remote(given):
        path = files.local_path(given)
        return storage.look(str(path), path.is_dir)
    is_media = files.media_kind(given) or files.media_kind(given, heard=True)
    if is_web(given) and (is_media or files.is_tar(given) or files.is_table(given)):
        return False  # to find out would fetch the file and look for links in it
    fs, remote = storage.filesystem(given)
    if isinstance(fs, ObjectStore):
        return has_objects_below(fs, remote, given)
    return bool(storage.attempt(given, lambda: fs.isdir(remote)))


def _has_magic(name: str) -> bool:
    return glob.has_magic(files.path_of(name))


def _base(uri: str) -> str:
    return files.path_of(uri).rpartition("/")[2]


class _Group(NamedTuple):
    """Braces that belong together, with what is between them, and how many names they stand for."""

    text: str
    names: int


def expand_braces(pattern: str) -> Iterator[str]:
    """`{000..009}`, `{a..f}`, `{a,b}`, also inside each other, as a shell expands them; other braces stay as they are.

    Raises:
        ValueError: When it stands for more than a million names, or is too deep.
    """
    rest, groups = _groups(pattern)
    literals = _MARK.split(rest)[::2]
    between = [groups[int(number)] for number in _MARK.findall(rest)]
    # Before anything is expanded: a range of billions is one short word.
    if math.prod(group.names for group in between) > _MAX_BRACES:
        which = between[0].text if len(between) == 1 else "its braces"
        raise ValueError(f"{which} in {pattern!r} stands for more than {_MAX_BRACES:,} names")
    for chosen in itertools.product(*(braceexpand(group.text, escape=False) for group in between)):
        yield "".join(itertools.chain(*itertools.zip_longest(literals, chosen, fillvalue="")))


def _groups(pattern: str) -> tuple[str, list[_Group]]:
    """A pattern with a mark in the place of each outermost pair of braces, and the pairs; a lone brace is a letter."""
    groups: list[_Group] = []

    def whole(text: str) -> str:
        return _MARK.sub(lambda found: groups[int(found.group(1))].text, text)

    def names(text: str) -> int:
        return math.prod(groups[int(number)].names for number in _MARK.findall(text))

    def close(found: re.Match[str]) -> str:
        inside = found.group(1)
        numbers = _NUMBERS.fullmatch(inside)
        if numbers:
            low, high, step = (int(number or 1) for number in numbers.groups())
            count = abs(high - low) // (step or 1) + 1
        else:
            count = sum(map(names, inside.split(",")))
        groups.append(_Group(whole(found.group()), count))
        return f"\0{len(groups) - 1}\0"

    rest = pattern
    for _ in range(_DEEPEST):
        left, rest = rest, _INNERMOST.sub(close, rest)
        if left == rest:
            return rest, groups
    raise ValueError(f"the braces in {pattern!r} are more than {_DEEPEST - 1} deep in each other")
