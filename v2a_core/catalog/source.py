"""One thing to process, its identity, and how its bytes come to this machine."""

from __future__ import annotations

import contextlib
import functools
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeAlias

from v2a_core import storage
from v2a_core.catalog import files
from v2a_core.catalog.shard_stream import ShardReader
from v2a_core.media import segments as plan
from v2a_core.media.config import FrameSettings, SegmentSettings
from v2a_core.media.types import MediaError
from v2a_core.storage import trouble
from v2a_core.storage.public import public, public_text
from v2a_core.storage.ranges import Version

# URI, version, and start and length of the span.
Place: TypeAlias = tuple[str, str, float | None, float | None]
_json = json.encoder.encode_basestring_ascii


class Source(NamedTuple):
    """A video or image file, a member of a tar shard, or a span of either.

    Attributes:
        uri: Absolute path or URI; of a shard member `<shard_uri>#<member>`.
        name: Path inside the catalog, posix, safe to join to a folder; not unique when several inputs are given.
        kind: `video`, `image` or `audio`.
        version: Changes when the content changes.
        size: Bytes.
        start_s: Start of the span that a table's row asks for.
        duration_s: Its length.
        label: From a table or a shard's metadata.
        split: The same.
        caption: The same.
        prompt: The same; what shall be heard.
        negative_prompt: The same; what shall not be heard.
        shard_uri: The tar shard that holds it.
        member: Its name there, as the shard spells it.
        member_offset: Where its bytes begin in the (decompressed) shard.
        member_size: Their number.
    """

    uri: str
    name: str
    kind: str
    version: str = ""
    size: int = 0
    start_s: float | None = None
    duration_s: float | None = None
    label: str | None = None
    split: str | None = None
    caption: str | None = None
    prompt: str | None = None
    negative_prompt: str | None = None
    shard_uri: str | None = None
    member: str | None = None
    member_offset: int | None = None
    member_size: int | None = None

    def to_row(self) -> dict[str, str | int | float | None]:
        """Plain values, for tables and messages."""
        return self._asdict()

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Source:
        """The inverse of `to_row`; other keys are ignored."""
        return cls(*(row[name] for name in cls._fields))

    @contextlib.contextmanager
    def fetch(self, shards: ShardReader | None = None) -> Iterator[Path]:
        """A local file with the content: the file itself, or a temporary copy for the block.

        Args:
            shards: Reads members of shards; give one to all members of a shard, so that it is read once.

        Raises:
            MediaError: With stage `fetch`, when the bytes cannot be had, or are not those that were listed.
            StorageStopError: When there is no room for a copy.
        """
        with contextlib.ExitStack() as scope:
            try:
                path = self._locate(scope, shards or scope.enter_context(ShardReader()))
            except FileNotFoundError:
                raise MediaError("fetch", "NotFound", f"no file {public(self.shard_uri or self.uri)}") from None
            except (OSError, ValueError) as error:
                if isinstance(error, MediaError):
                    raise
                if isinstance(error, OSError) and trouble.stops_run(error, writing=False):
                    raise trouble.stop(error, public(self.uri)) from None
                message = public_text(f"{public(self.uri)}: {error}")
                raise MediaError("fetch", type(error).__name__, message) from None
            yield path

    def _locate(self, scope: contextlib.ExitStack, shards: ShardReader) -> Path:
        if not files.is_remote(self.shard_uri or self.uri) and self.member is None:
            files.check_version(self.uri, self.version)
            return files.local_path(self.uri)
        folder = scope.enter_context(tempfile.TemporaryDirectory(prefix="v2a-"))
        # Of the name only the suffix, which is one of the known ones.
        path = Path(folder) / f"source{PurePosixPath(self.name).suffix}"
        if self.member is not None and self.shard_uri and self.member_offset is not None:
            version = self.version.removesuffix(member_mark(self.member, self.member_offset, self.member_size or 0))
            shards.copy(self.shard_uri, self.member_offset, self.member_size or 0, path, version)
        elif (known := files.version_of_object(self.uri, self.version)) and known.size:
            self._download(path, known)
        else:
            storage.download(self.uri, path)
            # After the last byte: whatever was replaced before it is noticed.
            files.check_version(self.uri, self.version)
        return path

    def _download(self, path: Path, version: Version) -> None:
        """An object of S3: each request for its bytes says which object is meant."""
        try:
            storage.download(self.uri, path, version)
        except trouble.ReplacedError as error:
            files.check_version(self.uri, self.version)  # says what is there now
            raise MediaError("fetch", "Changed", f"{error}; the next run lists it again") from None


def member_mark(member: str, offset: int, size: int) -> str:
    """What the version of a shard's member has behind that of its shard."""
    return f"/{member}/{offset}+{size}"


def source_id(source: Source, segments: SegmentSettings, frames: FrameSettings) -> str:
    """A 32-character id: the same for the same content, span and sampling, on every run and machine."""
    return source_ids([place(source)], segments, frames).hex()


def source_ids(sources: Iterable[Place], segments: SegmentSettings, frames: FrameSettings) -> bytes:
    """The ids of sources, 16 bytes each: of `plan.digest`, its text put together from parts that are made once."""
    sampling = _sampling(segments, frames)
    return b"".join(
        plan.digest_of_json(f"[{_json(public(uri))},{_json(version)},{_span_json(start_s, duration_s)},{sampling}]")
        for uri, version, start_s, duration_s in sources
    )


def source_key(source: Source) -> str:
    """A 32-character key of a place: the same for every version of what lies there, however it is sampled."""
    return source_keys([place(source)]).hex()


def source_keys(sources: Iterable[Place]) -> bytes:
    """The keys of sources, 16 bytes each."""
    return b"".join(
        plan.digest_of_json(f"[{_json(public(uri))},{_span_json(start_s, duration_s)}]")
        for uri, _, start_s, duration_s in sources
    )


def place(source: Source) -> Place:
    """What tells a source from others."""
    return source.uri, source.version, source.start_s, source.duration_s


def _span_json(start_s: float | None, duration_s: float | None) -> str:
    """Start and length of the span, whole microseconds: sources are told apart by them."""
    if start_s is None and duration_s is None:
        return "[null,null]"
    return f"[{_microseconds(start_s)},{_microseconds(duration_s)}]"


def _microseconds(seconds: float | None) -> int | str:
    return "null" if seconds is None else round(seconds * 1e6)


@functools.lru_cache(maxsize=8)
def _sampling(segments: SegmentSettings, frames: FrameSettings) -> str:
    """The settings as text, made once: a catalog has millions of sources and one sampling."""
    return f"{_json(segments.model_dump_json())},{_json(frames.seen.model_dump_json())}"
