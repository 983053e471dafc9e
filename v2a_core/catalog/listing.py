"""From what a person names to sources and rejects: each once, with what was passed over and why."""

from __future__ import annotations

import errno
import itertools
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from v2a_core.catalog import files
from v2a_core.catalog.collector import Collector
from v2a_core.catalog.config import CatalogSettings
from v2a_core.catalog.expand import Entry, expand
from v2a_core.catalog.files import FileInfo
from v2a_core.catalog.formats import CATALOG_FORMATS
from v2a_core.catalog.lookup import Lookup, as_reject
from v2a_core.catalog.source import Source, member_mark
from v2a_core.catalog.sources import Sources
from v2a_core.catalog.table import Row
from v2a_core.catalog.tar import Shard, ShardLister, list_shard
from v2a_core.compute.threads import ScopedThreads
from v2a_core.media.types import MediaError
from v2a_core.storage.public import public, public_text

_LOOKED_INTO_AT_ONCE = 16
_ROWS_AT_ONCE = 4096
_DUPLICATE, _RELABELLED = "duplicate", "duplicate with other labels"


@dataclass(frozen=True)
class _Inside:
    """What is found out of an entry's content meanwhile: the members of a shard; of a `.ts` whether it is a video."""

    shard: Future[Shard] | None = None
    is_video: Future[bool] | None = None


@dataclass
class CatalogListing:
    """A listed catalog, in the order of the inputs and of names inside them.

    Attributes:
        sources: What can be processed.
        rejects: Entries that cannot, as far as they are known, and why.
        skipped_reasons: What was passed over, and how often.
        notes: Sentences for a person on what may not be meant so.
    """

    sources: Sources = field(default_factory=Sources)
    rejects: list[tuple[Source, MediaError]] = field(default_factory=list)
    skipped_reasons: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    @property
    def skipped(self) -> int:
        """How many entries were passed over."""
        return self.skipped_reasons.total()


def list_sources(
    inputs: Sequence[str], settings: CatalogSettings, *, heard: bool = False, shards: ShardLister | None = None
) -> CatalogListing:
    """List a catalog; the same catalog gives the same list in the same order.

    Args:
        inputs: Files, folders, globs, fsspec URI prefixes, tar shards, brace patterns, tables.
        settings: What is listed.
        heard: Whether sounds and videos with their sound are looked for, instead of videos and images.
        shards: What lists tar shards; None: this process, in threads.

    Raises:
        ValueError: When an input does not exist, is of no known kind, or holds nothing; with what was looked at.
    """
    if not inputs:
        raise ValueError("the catalog is empty: name at least one file, folder, glob, URI prefix, shard or table")
    lister = _Lister(settings, heard, shards)
    for given in inputs:
        lister.add(given)
    return lister.listing()


@dataclass(frozen=True)
class _ByThreads:
    """Lists shards in threads of this process."""

    pool: ScopedThreads
    at_once: int = _LOOKED_INTO_AT_ONCE

    def submit(self, info: FileInfo, max_bytes: int, *, heard: bool) -> Future[Shard]:
        return self.pool.submit(list_shard, info, max_bytes, heard=heard)


class _Lister:
    """Collects sources, each once."""

    def __init__(self, settings: CatalogSettings, heard: bool, shards: ShardLister | None) -> None:
        self._heard, self._shards = heard, shards
        self._skipped: Counter[str] = Counter()
        self._notes: list[str] = []
        self._max_bytes = settings.max_source_mb * 2**20
        self._format = CATALOG_FORMATS[settings.format.kind].component(settings.format)
        self._format.check()
        self._found = Collector()
        self._relabelled = 0

    def listing(self) -> CatalogListing:
        """What was added."""
        again = {_DUPLICATE: self._found.duplicates, _RELABELLED: self._relabelled}
        skipped = self._skipped + Counter({reason: count for reason, count in again.items() if count})
        return CatalogListing(self._found.build(), self._found.rejects, skipped, self._notes)

    def add(self, given: str) -> None:
        """Add what one input names."""
        before, skipped = len(self._found), self._passed_over()
        looked_at = 0
        try:
            for entry, inside in self._looked_into(expand(given, heard=self._heard)):
                looked_at += 1
                self._add_entry(entry, inside)
        # ImportError: the package for a scheme is missing. None of the others is worth a traceback either.
        except (OSError, ImportError, NotImplementedError) as error:
            message = public_text(f"{public(given)!r} cannot be listed: {type(error).__name__}: {error}")
            raise ValueError(message) from None
        if len(self._found) == before:
            passed = self._passed_over() - skipped
            others = ("sounds", files.SOUND_SUFFIXES) if self._heard else ("images", files.IMAGE_SUFFIXES)
            raise ValueError(
                f"nothing to process in {public(given)!r}: looked at {looked_at} files, passed over {passed} "
                f"(videos: {_spell(files.VIDEO_SUFFIXES)}; {others[0]}: {_spell(others[1])}; shards: "
                f"{_spell(files.TAR_SUFFIXES)}; tables, when named themselves: {_spell(files.TABLE_SUFFIXES)})"
            )
        self._tell_relabelled(given)

    def _passed_over(self) -> int:
        return self._skipped.total() + self._found.duplicates + self._relabelled

    def _kind(self, name: str) -> str | None:
        return files.media_kind(name, heard=self._heard)

    def _looked_into(self, entries: Iterator[Entry]) -> Iterator[tuple[Entry, _Inside]]:
        """The entries in their order, shards listed ahead: that is waiting for storage, not computing."""
        window: deque[tuple[Entry, _Inside]] = deque()
        with ScopedThreads(_LOOKED_INTO_AT_ONCE) as pool:
            shards = self._shards or _ByThreads(pool)
            for entry in entries:
                info = entry.info
                inside = _Inside()
                if info.error is None and files.is_text(info.uri):
                    if files.is_tar(info.uri):
                        inside = _Inside(shard=shards.submit(info, self._max_bytes, heard=self._heard))
                    elif files.may_be_text(info.uri):
                        inside = _Inside(is_video=pool.submit(files.is_video_inside, info.uri))
                window.append((entry, inside))
                if len(window) > shards.at_once:
                    yield window.popleft()
            yield from window

    def _add_entry(self, entry: Entry, inside: _Inside) -> None:
        """Add a file, a shard's members or, when the input names it, a table's rows."""
        info, kind = entry.info, self._kind(entry.info.uri)
        if not files.is_text(info.uri):
            source = Source(files.readable(info.uri), files.safe_name(files.readable(entry.name)), kind or "video")
            self._reject(source, MediaError("catalog", "BadName", "the name is not UTF-8"))
        elif info.error is not None:
            self._add_unreadable(entry, kind, info.error)
        elif inside.shard is not None:
            self._add_shard(info, entry.name, inside.shard.result())
        elif entry.named and files.is_table(info.uri):
            self._add_table(info)
        elif kind:
            source = Source(info.uri, files.safe_name(entry.name), kind, info.version, info.size)
            self._add_media(source, inside.is_video)
        else:
            self._skipped["not media"] += 1

    def _add_media(self, source: Source, is_video: Future[bool] | None) -> None:
        try:
            is_media = is_video is None or is_video.result()
        except OSError as error:
            self._reject(source, as_reject(error))
            return
        if is_media:
            self._add(source)
        else:
            self._skipped["not media"] += 1

    def _add_unreadable(self, entry: Entry, kind: str | None, error: OSError) -> None:
        uri, missing = entry.info.uri, isinstance(error, FileNotFoundError | NotADirectoryError)
        if not entry.named and (missing or error.errno == errno.ELOOP):
            self._skipped["broken link"] += 1
        elif kind is None and not files.is_tar(uri) and not entry.named:
            self._skipped["unreadable folder"] += 1
            self._notes.append(f"{uri} may not be read, and is passed over: {type(error).__name__}")
        else:
            rejected = as_reject(error)
            message = f"no file {public(uri)}" if missing else str(rejected)
            self._reject(
                Source(uri, files.safe_name(entry.name), kind or "video"),
                MediaError(rejected.stage, rejected.error_type, message),
            )

    def _add_shard(self, info: FileInfo, name: str, shard: Shard) -> None:
        stem = re.sub(r"(\.tar|\.tgz|\.tar\.\w+)$", "", name, flags=re.IGNORECASE)
        for member in shard.members:
            self._add(
                Source(
                    uri=f"{public(info.uri)}#{member.name}",
                    name=files.safe_name(f"{stem}/{member.name}"),
                    kind=self._kind(member.name) or "video",
                    version=info.version + member_mark(member.name, member.offset, member.size),
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
            uri = f"{public(info.uri)}#{member_name}" if member_name else info.uri
            kind = self._kind(member_name) or "video"
            self._reject(Source(uri, files.safe_name(f"{stem}/{member_name}"), kind, info.version, info.size), error)
        self._skipped.update(shard.skipped)

    def _add_table(self, info: FileInfo) -> None:
        folder = self._format.folder(info.uri)
        lookup = Lookup()
        for run in _runs(self._format.rows(info.uri), _ROWS_AT_ONCE):
            wanted = [row.uri for row in run if not row.error and self._kind(row.uri)]
            found = dict(zip(wanted, lookup.find(wanted), strict=True))
            for row in run:
                path = public(files.path_of(row.uri))
                inside = path.startswith(f"{folder}/")
                name = files.safe_name(path[len(folder) + 1 :] if inside else path.rpartition("/")[2])
                self._add_row(row, name, found.get(row.uri), public(info.uri))

    def _add_row(self, row: Row, name: str, found: FileInfo | MediaError | None, table: str) -> None:
        kind = self._kind(row.uri)
        if row.error:
            stem = files.safe_name(files.readable(table.rpartition("/")[2]))
            self._reject(Source(f"{table}#{row.number}", f"{stem}/{row.number}", "video"), row.error)
        elif isinstance(found, FileInfo) and kind:
            self._add(Source(found.uri, name, kind, found.version, found.size, **row.values), row)
        else:
            other = "sound" if self._heard else "image"
            error = found or MediaError("catalog", "NotMedia", f"no video or {other} by its name")
            assert isinstance(error, MediaError)
            self._reject_row(row, Source(row.uri, name, kind or "video", **row.values), error)

    def _reject_row(self, row: Row, source: Source, error: MediaError) -> None:
        message = public_text(f"{row.place}, column uri: {public(row.uri)}: {error}")
        self._reject(source, MediaError(error.stage, error.error_type, message))

    def _add(self, source: Source, row: Row | None = None) -> None:
        error = None
        if source.size > self._max_bytes:
            message = f"{source.size:,} bytes; max_source_mb allows {self._max_bytes:,}"
            error = MediaError("catalog", "TooLarge", message)
        self._found.add(source, error, row.place if row else None)

    def _reject(self, source: Source, error: MediaError) -> None:
        self._found.add(source, error)

    def _tell_relabelled(self, given: str) -> None:
        again = self._found.relabelled
        if again:
            count = len(again)
            self._notes.append(
                f"{public(given)}: {count} row{'s name' if count > 1 else ' names'} what is listed already, with other "
                f"labels; the first counts (such as {again[0]})"
            )
            self._relabelled += count
            again.clear()


def _runs(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    waiting = iter(rows)
    return iter(lambda: list(itertools.islice(waiting, size)), [])


def _spell(suffixes: Sequence[str] | frozenset[str]) -> str:
    return " ".join(sorted(suffixes))
