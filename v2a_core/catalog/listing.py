"""From what a person names to sources: files, folders, globs, prefixes, brace patterns, shards, tables."""

from __future__ import annotations

import glob
import re
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from v2a_core import storage
from v2a_core.catalog import files
from v2a_core.catalog.files import FileInfo
from v2a_core.catalog.source import Source
from v2a_core.catalog.table import Lookup, Row, read_table
from v2a_core.catalog.tar import Shard, list_shard
from v2a_core.catalog.vggsound import read_vggsound
from v2a_core.catalog_config import CatalogSettings
from v2a_core.media.types import MediaError

_MAX_BRACES = 1_000_000
_SHARDS_AT_ONCE = 16

_Entry = tuple[FileInfo, str, bool]  # a file, its name inside the input, whether the input names it


@dataclass
class CatalogListing:
    """A listed catalog, in the order of the inputs and of names inside them.

    Attributes:
        sources: What can be processed.
        rejects: Entries that cannot, as far as they are known, and why.
        skipped_reasons: What was passed over, and how often.
    """

    sources: list[Source] = field(default_factory=list)
    rejects: list[tuple[Source, MediaError]] = field(default_factory=list)
    skipped_reasons: Counter[str] = field(default_factory=Counter)

    @property
    def skipped(self) -> int:
        """How many entries were passed over."""
        return self.skipped_reasons.total()


def list_sources(inputs: Sequence[str], settings: CatalogSettings) -> CatalogListing:
    """List a catalog; the same catalog gives the same list in the same order.

    Args:
        inputs: Files, folders, globs, fsspec URI prefixes, tar shards, brace patterns, tables.
        settings: What is listed.

    Raises:
        ValueError: When an input does not exist, is of no known kind, or holds nothing; with what was looked at.
    """
    if not inputs:
        raise ValueError("the catalog is empty: name at least one file, folder, glob, URI prefix, shard or table")
    if settings.media_root and not _is_folder(settings.media_root):
        raise ValueError(f"--media-root {settings.media_root} does not exist, or is no folder")
    lister = _Lister(settings)
    for given in inputs:
        lister.add(given)
    return lister.listing


class _Lister:
    """Collects sources, each once."""

    def __init__(self, settings: CatalogSettings) -> None:
        self.listing = CatalogListing()
        self._max_bytes = settings.max_source_mb * 2**20
        self._media_root = settings.media_root
        self._seen: set[tuple[str, float | None, float | None]] = set()

    def add(self, given: str) -> None:
        """Add what one input names."""
        before, skipped = self._entries(), self.listing.skipped
        looked_at = 0
        try:
            for (info, name, named), shard in self._with_shards(_expand(given, self.listing)):
                looked_at += 1
                self._add_file(info, name, shard, named=named)
        except OSError as error:
            raise ValueError(f"{given!r} cannot be listed: {type(error).__name__}: {error}") from None
        if self._entries() == before:
            passed = self.listing.skipped - skipped
            raise ValueError(
                f"nothing to process in {given!r}: looked at {looked_at} files, passed over {passed} "
                f"(videos: {_spell(files.VIDEO_SUFFIXES)}; images: {_spell(files.IMAGE_SUFFIXES)}; shards: "
                f"{_spell(files.TAR_SUFFIXES)}; tables, when named themselves: {_spell(files.TABLE_SUFFIXES)})"
            )

    def _entries(self) -> int:
        duplicates = self.listing.skipped_reasons["duplicate"]
        return len(self.listing.sources) + len(self.listing.rejects) + duplicates

    def _with_shards(self, entries: Iterator[_Entry]) -> Iterator[tuple[_Entry, Future[Shard] | None]]:
        """The entries in their order, with shards listed ahead: that is waiting for storage, not computing."""
        window: deque[tuple[_Entry, Future[Shard] | None]] = deque()
        with ThreadPoolExecutor(_SHARDS_AT_ONCE) as pool:
            for entry in entries:
                is_shard = files.is_tar(entry[0].uri) and files.is_text(entry[0].uri)
                window.append((entry, pool.submit(list_shard, entry[0], self._max_bytes) if is_shard else None))
                if len(window) > _SHARDS_AT_ONCE:
                    yield window.popleft()
            yield from window

    def _add_file(self, info: FileInfo, name: str, shard: Future[Shard] | None, *, named: bool) -> None:
        """Add a file, a shard's members or, when the input names it, a table's rows."""
        kind = files.media_kind(info.uri)
        if not files.is_text(info.uri):
            source = Source(files.readable(info.uri), files.safe_name(files.readable(name)), kind or "video")
            self._reject(source, MediaError("catalog", "BadName", "the name is not UTF-8"))
        elif shard is not None:
            self._add_shard(info, name, shard.result())
        elif named and files.is_table(info.uri):
            self._add_table(info)
        elif kind:
            self._add(Source(info.uri, files.safe_name(name), kind, info.version, info.size))
        else:
            self.listing.skipped_reasons["not media"] += 1

    def _add_shard(self, info: FileInfo, name: str, shard: Shard) -> None:
        stem = re.sub(r"(\.tar|\.tgz|\.tar\.\w+)$", "", name, flags=re.IGNORECASE)
        for member in shard.members:
            self._add(
                Source(
                    uri=f"{info.uri}#{member.name}",
                    name=files.safe_name(f"{stem}/{member.name}"),
                    kind=files.media_kind(member.name) or "video",
                    version=f"{info.version}/{member.name}/{member.offset}+{member.size}",
                    size=member.size,
                    shard_uri=info.uri,
                    member=member.name,
                    member_offset=member.offset,
                    member_size=member.size,
                    label=member.labels.get("label"),
                    split=member.labels.get("split"),
                    caption=member.labels.get("caption"),
                    prompt=member.labels.get("prompt"),
                    negative_prompt=member.labels.get("negative_prompt"),
                )
            )
        for member_name, error in shard.rejects:
            uri = f"{info.uri}#{member_name}" if member_name else info.uri
            kind = files.media_kind(member_name) or "video"
            self._reject(Source(uri, files.safe_name(f"{stem}/{member_name}"), kind, info.version, info.size), error)
        self.listing.skipped_reasons.update(shard.skipped)

    def _add_table(self, info: FileInfo) -> None:
        rows = read_vggsound(info.uri, self._media_root) if self._media_root else read_table(info.uri)
        lookup = Lookup()
        folder = info.uri.rpartition("/")[0] if self._media_root is None else self._media_root.rstrip("/")
        for row in rows:
            inside = row.uri.startswith(f"{folder}/")
            name = row.uri[len(folder) + 1 :] if inside else row.uri.rpartition("/")[2]
            self._add_row(row, files.safe_name(name), lookup, info.uri)

    def _add_row(self, row: Row, name: str, lookup: Lookup, table: str) -> None:
        kind = files.media_kind(row.uri)
        if row.error:
            self._reject(Source(f"{table}#{row.number}", f"{name}/{row.number}", kind or "video"), row.error)
            return
        source = Source(row.uri, name, kind or "video", **row.values)
        if kind is None:
            error = MediaError("catalog", "NotMedia", f"row {row.number}: {row.uri} is no video or image by its name")
            self._reject(source, error)
            return
        try:
            info = lookup.find(row.uri)
        except FileNotFoundError:
            self._reject(source, MediaError("catalog", "NotFound", f"row {row.number}: no file {row.uri}"))
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have
            self._reject(source, MediaError("catalog", type(error).__name__, f"row {row.number}: {row.uri}: {error}"))
        else:
            self._add(Source(info.uri, name, kind, info.version, info.size, **row.values))

    def _add(self, source: Source) -> None:
        if self._is_new(source):
            if source.size > self._max_bytes:
                message = f"{source.size:,} bytes; max_source_mb allows {self._max_bytes:,}"
                self.listing.rejects.append((source, MediaError("catalog", "TooLarge", message)))
            else:
                self.listing.sources.append(source)

    def _reject(self, source: Source, error: MediaError) -> None:
        if self._is_new(source):
            self.listing.rejects.append((source, error))

    def _is_new(self, source: Source) -> bool:
        key = (source.uri, source.start_s, source.duration_s)
        if key in self._seen:
            self.listing.skipped_reasons["duplicate"] += 1
            return False
        self._seen.add(key)
        return True


def _expand(given: str, listing: CatalogListing) -> Iterator[_Entry]:
    """The files behind an input, with their names inside it, and whether the input names them (not their folder).

    What exists literally is taken literally, whatever characters are in its name.

    Raises:
        ValueError: When there is nothing.
    """
    if _is_folder(given):
        yield from _below(given)
        return
    try:
        info = files.stat(given)
    except (FileNotFoundError, NotADirectoryError):
        yield from _expand_pattern(given, listing)
        return
    if not (files.media_kind(info.uri) or files.is_tar(info.uri) or files.is_table(info.uri)):
        raise ValueError(f"{given!r} is neither a video nor an image, a tar shard or a table, by its name")
    yield info, info.uri.rpartition("/")[2], True


def _expand_pattern(given: str, listing: CatalogListing) -> Iterator[_Entry]:
    names = list(expand_braces(given))
    if len(names) == 1 and not glob.has_magic(names[0]):
        raise ValueError(f"{given!r} does not exist: no file, no folder, nothing with this prefix")
    found = 0
    for name in names:
        if glob.has_magic(name):
            matches = list(_glob(name))
            found += len(matches)
            yield from matches
            continue
        try:
            info = files.stat(name)
        except FileNotFoundError:
            source = Source(name, files.safe_name(name.rpartition("/")[2]), files.media_kind(name) or "video")
            listing.rejects.append((source, MediaError("catalog", "NotFound", f"no file {name}")))
            continue
        found += 1
        yield info, info.uri.rpartition("/")[2], True
    if not found:
        raise ValueError(f"{given!r} matches no file (tried {len(names)} name{'s' * (len(names) > 1)})")


def _glob(pattern: str) -> Iterator[_Entry]:
    """Matches of a glob, files and whole folders, by name."""
    if files.is_remote(pattern):
        fs, path = storage.filesystem(pattern)
        matches = [fs.unstrip_protocol(name) for name in sorted(fs.glob(path))]
        pattern = fs.unstrip_protocol(path)
    else:
        pattern = str(files.local_path(pattern))
        matches = sorted(glob.glob(pattern, recursive=True))
    fixed = re.split(r"[*?\[]", pattern)[0].rpartition("/")[0]
    for match in matches:
        name = match[len(fixed) :].lstrip("/")
        if _is_folder(match):
            if "**" not in pattern:  # `**` already matched everything inside
                yield from ((info, f"{name}/{below}", named) for info, below, named in _below(match))
        else:
            yield files.stat(match), name, True


def _below(folder: str) -> Iterator[_Entry]:
    if files.is_remote(folder):
        fs, path = storage.filesystem(folder)
        base = fs.unstrip_protocol(path)
    else:
        base = str(files.local_path(folder))
    for info in files.walk(folder):
        yield info, info.uri[len(base) :].lstrip("/"), False


def _is_folder(given: str) -> bool:
    if files.is_remote(given):
        fs, path = storage.filesystem(given)
        return bool(fs.isdir(path))
    return files.local_path(given).is_dir()


def expand_braces(pattern: str) -> Iterator[str]:
    """`{000..009}` and `{a,b}`, as a shell expands them; other braces stay as they are.

    Raises:
        ValueError: When a range stands for more than a million names.
    """
    match = re.search(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}", pattern)
    if match is None:
        yield pattern
        return
    first, last, choices = match.groups()
    if choices is not None:
        middles = choices.split(",")
    else:
        low, high = int(first), int(last)
        if abs(high - low) >= _MAX_BRACES:
            raise ValueError(f"{match.group()} in {pattern!r} stands for more than {_MAX_BRACES:,} names")
        step = 1 if high >= low else -1
        width = len(first) if first.startswith("0") or last.startswith("0") else 0
        middles = [f"{number:0{width}d}" for number in range(low, high + step, step)]
    for middle in middles:
        for rest in expand_braces(pattern[match.end() :]):
            yield f"{pattern[: match.start()]}{middle}{rest}"


def _spell(suffixes: Sequence[str] | frozenset[str]) -> str:
    return " ".join(sorted(suffixes))
