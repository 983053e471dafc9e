"""What this program needs of a filesystem; those of fsspec, which has no types, all have it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol, TypedDict, overload, runtime_checkable


class Entry(TypedDict, total=False):
    """What a filesystem tells about a file or folder; most tell more, under keys of their own."""

    name: str
    type: str
    size: int | None


class Filesystem(Protocol):
    """A filesystem of fsspec. Paths are its own; every operation may raise OSError."""

    def info(self, path: str) -> Entry:
        """About a file or folder."""

    def exists(self, path: str) -> bool:
        """Whether there is such a file or folder."""

    def isdir(self, path: str) -> bool:
        """Whether there is such a folder."""

    def ls(self, path: str, detail: Literal[True]) -> list[Entry]:
        """What is directly in a folder."""

    @overload
    def glob(self, path: str) -> list[str]: ...
    @overload
    def glob(self, path: str, *, detail: Literal[True]) -> dict[str, Entry]: ...
    def glob(self, path: str, *, detail: bool = False) -> list[str] | dict[str, Entry]:
        """What a pattern fits."""

    @overload
    def find(self, path: str) -> list[str]: ...
    @overload
    def find(self, path: str, *, detail: Literal[True]) -> dict[str, Entry]: ...
    def find(self, path: str, *, detail: bool = False) -> list[str] | dict[str, Entry]:
        """The files in a folder and in those below it."""

    def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """The bytes of a file, or of a range of it."""

    def get(self, rpath: str, lpath: str, recursive: bool = False) -> None:
        """Copy a file or folder to this machine."""

    def get_file(self, rpath: str, lpath: str) -> None:
        """Copy a file to this machine."""

    def put_file(self, lpath: str, rpath: str) -> None:
        """Copy a file from this machine."""

    def pipe_file(self, path: str, value: bytes, mode: Literal["create", "overwrite"] = "overwrite") -> None:
        """Write a file; with `create` only where there is none."""

    def rm(self, path: str, recursive: bool = False) -> None:
        """Remove a file or folder."""

    def rm_file(self, path: str) -> None:
        """Remove a file."""

    def invalidate_cache(self) -> None:
        """Forget what folders held."""

    def unstrip_protocol(self, name: str) -> str:
        """A path as a URI."""


@runtime_checkable
class ObjectStore(Filesystem, Protocol):
    """S3's own requests beside."""

    @property
    def req_kw(self) -> Mapping[str, str]:
        """What each request has to say."""

    def call_s3(self, method: str, **request: object) -> Any:
        """The answer to a request, as botocore reads it."""

    def cat_version(self, path: str, etag: str, start: int, end: int) -> bytes:
        """The bytes of a range of an object, as long as it is the one with this ETag."""

    def split_path(self, path: str) -> tuple[str, str, str | None]:
        """Bucket, key and version."""
