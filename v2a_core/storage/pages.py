"""Listings of buckets, page by page: several prefixes at once, and never more than their keys in memory."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple

import pyarrow as pa

from v2a_core.compute.threads import ScopedThreads
from v2a_core.storage.access import attempt
from v2a_core.storage.filesystem import Entry, ObjectStore

_AT_ONCE = 16  # prefixes: a page takes a store a tenth of a second
_DEEPEST = 3  # levels of folders that are asked for one by one, to find prefixes that can be listed side by side
_OBJECT = pa.schema([("name", pa.string()), ("size", pa.int64()), ("ETag", pa.string())])


class _Prefix(NamedTuple):
    """A folder that is not listed yet."""

    key: str


def objects_below(fs: ObjectStore, path: str, uri: str) -> Iterator[Entry]:
    """The objects below a folder of a bucket, by their keys: each page of them is asked for once.

    Args:
        fs: The store.
        path: The folder.
        uri: The same as an address, for settings and messages.
    """
    bucket, key, _ = fs.split_path(path)
    lister = _Lister(fs, bucket, uri)
    prefix = f"{key.rstrip('/')}/" if key else ""
    with ScopedThreads(_AT_ONCE) as pool:

        def start(folder: _Prefix) -> Future[pa.Table]:
            return pool.submit(lister.whole, folder.key)

        for table in _ahead(lister.folders(prefix, _DEEPEST), start):
            for batch in table.to_batches(max_chunksize=4096):
                yield from batch.to_pylist()


def has_objects_below(fs: ObjectStore, path: str, uri: str) -> bool:
    """Whether a path is a folder with objects in it, or a bucket: asked with one request, however many there are."""
    bucket, key, _ = fs.split_path(path)
    prefix = f"{key.rstrip('/')}/" if key else ""
    request = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": 1, **fs.req_kw}
    try:
        page = attempt(uri, lambda: fs.call_s3("list_objects_v2", **request))
    except FileNotFoundError:
        return False
    return not key or bool(page.get("Contents"))


class _Lister:
    """Asks for pages."""

    def __init__(self, fs: ObjectStore, bucket: str, uri: str) -> None:
        self._fs, self._bucket, self._uri = fs, bucket, uri

    def whole(self, prefix: str) -> pa.Table:
        """All objects below a prefix."""
        return pa.concat_tables([self._table(page.get("Contents", ())) for page in self._pages(prefix, "")])

    def folders(self, prefix: str, levels: int) -> Iterator[pa.Table | _Prefix]:
        """What is in a folder, by keys: tables of objects, and folders to be listed."""
        for page in self._pages(prefix, "/"):
            inside = [_Prefix(item["Prefix"]) for item in page.get("CommonPrefixes", ())]
            items = sorted([*inside, *page.get("Contents", ())], key=_key)
            for is_folder, run in itertools.groupby(items, lambda item: isinstance(item, _Prefix)):
                if not is_folder:
                    yield self._table(list(run))
                elif levels > 1 and len(inside) < _AT_ONCE and not page.get("IsTruncated"):
                    for folder in run:
                        yield from self.folders(folder.key, levels - 1)
                else:
                    yield from run

    def _pages(self, prefix: str, delimiter: str) -> Iterator[Mapping[str, Any]]:
        request = {"Bucket": self._bucket, "Prefix": prefix, "Delimiter": delimiter, **self._fs.req_kw}
        while True:
            page = attempt(self._uri, lambda: self._fs.call_s3("list_objects_v2", **request))
            yield page
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    def _table(self, objects: Any) -> pa.Table:
        names = [f"{self._bucket}/{item['Key']}" for item in objects]
        etags = [item.get("ETag") for item in objects]
        return pa.table([names, [item["Size"] for item in objects], etags], schema=_OBJECT)


def _ahead(items: Iterator[pa.Table | _Prefix], start: Callable[[_Prefix], Future[pa.Table]]) -> Iterator[pa.Table]:
    """The tables in their order; so many folders that follow are being listed."""
    window: deque[pa.Table | Future[pa.Table]] = deque()
    for item in items:
        window.append(start(item) if isinstance(item, _Prefix) else item)
        if len(window) > _AT_ONCE:
            found = window.popleft()
            yield found.result() if isinstance(found, Future) else found
    for found in window:
        yield found.result() if isinstance(found, Future) else found


def _key(item: Any) -> str:
    return str(item.key if isinstance(item, _Prefix) else item["Key"])
