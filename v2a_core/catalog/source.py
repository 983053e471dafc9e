"""One thing to process, its identity, and how its bytes come to this machine."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from v2a_core import storage
from v2a_core.catalog import files
from v2a_core.catalog.shard_stream import ShardReader, is_compressed
from v2a_core.media import segments as plan
from v2a_core.media.config import FrameSettings, SegmentSettings
from v2a_core.media.types import MediaError
from v2a_core.storage import trouble
from v2a_core.storage.public import public, public_text


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
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
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Source:
        """The inverse of `to_row`; other keys are ignored."""
        return cls(**{field.name: row[field.name] for field in dataclasses.fields(cls)})

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
        else:
            storage.download(self.uri, path)
            # After the last byte: whatever was replaced before it is noticed.
            files.check_version(self.uri, self.version)
        return path


def member_mark(member: str, offset: int, size: int) -> str:
    """What the version of a shard's member has behind that of its shard."""
    return f"/{member}/{offset}+{size}"


def read_together(sources: Sequence[Source], size: int) -> Iterator[tuple[int, int]]:
    """Cut a list of sources into runs for one worker each: `size` sources, or all members of a compressed shard.

    Yields:
        Start and end of each run.
    """
    start = 0
    while start < len(sources):
        shard = _stream_of(sources[start])
        end = start + 1
        while end < len(sources) and _stream_of(sources[end]) == shard and (shard or end < start + size):
            end += 1
        yield start, end
        start = end


def _stream_of(source: Source) -> str | None:
    return source.shard_uri if source.shard_uri and is_compressed(source.shard_uri) else None


def source_id(source: Source, segments: SegmentSettings, frames: FrameSettings) -> str:
    """A 32-character id: the same for the same content, span and sampling, on every run and machine."""
    return plan.digest(public(source.uri), source.version, span_us(source), *_sampling(segments, frames))


def source_key(source: Source) -> str:
    """A 32-character key of a place: the same for every version of what lies there, however it is sampled."""
    return plan.digest(public(source.uri), span_us(source))


def span_us(source: Source) -> tuple[int | None, int | None]:
    """Start and length of the span, whole microseconds: what is message apart."""
    return _microseconds(source.start_s), _microseconds(source.duration_s)


def _microseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1e6)


@functools.lru_cache(maxsize=8)
def _sampling(segments: SegmentSettings, frames: FrameSettings) -> tuple[str, str]:
    """The settings as text, made once: a catalog has millions of sources and one sampling."""
    return segments.model_dump_json(), frames.seen.model_dump_json()
