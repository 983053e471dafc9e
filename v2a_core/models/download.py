"""One file from a web server: gone on with where a connection was cut, with a sign of how far it is.

Checkpoints have gigabytes, and lines break: what has arrived stays beside a note of what it is a part of, and the next
request asks for the rest only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from v2a_core import storage
from v2a_core.storage.public import public
from v2a_core.storage.retrying import ShortReadError

if TYPE_CHECKING:
    import aiohttp
    from fsspec.implementations.http import HTTPFileSystem

_OK, _PARTIAL, _BEYOND = 200, 206, 416
_PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers that may be others in a moment
_BLOCK = 2**20
# Attempts in a row in which nothing arrives: at the beginning a wrong address is told soon, later a line may come back.
_ATTEMPTS_AT_FIRST, _ATTEMPTS_LATER = 2, 8
_LONGEST_WAIT_S = 20.0
_TOLD_EVERY_S = 30.0


class RefusedError(OSError):
    """A server does not give a file."""


class _TryAgainError(OSError):
    """A server may give it in a moment."""


@dataclass(frozen=True)
class _Note:
    """Of which file the bytes that have arrived are the beginning.

    Attributes:
        url: Where it is from.
        version: What the server calls this content (ETag or time of change); empty: it does not say.
        size: Bytes of the whole file; None: the server does not say.
    """

    url: str
    version: str = ""
    size: int | None = None


class Shown(Protocol):
    """Takes how many bytes are there, of how many."""

    def __call__(self, done: int, size: int | None) -> None:
        """Show it."""


def download(url: str, target: Path) -> None:
    """Fetch a file; what an earlier call has left in `target` is not fetched again.

    Args:
        url: Its address, http or https.
        target: Where to; beside it lies a note until the file is whole.

    Raises:
        OSError: When it cannot be had; what has arrived stays for the next call.
        aiohttp.ClientError: When the server cannot be reached.
    """
    import aiohttp
    from fsspec.asyn import sync

    fs = _filesystem()
    failed, arrived = 0, False
    with _progress(target.name) as shown:
        while True:
            before = _size(target)
            try:
                sync(fs.loop, _go_on, fs, url, target, shown)
                _note_file(target).unlink(missing_ok=True)
                return
            except (TimeoutError, aiohttp.ClientError, ConnectionError, ShortReadError, _TryAgainError):
                more = _size(target) > before
                failed, arrived = 0 if more else failed + 1, arrived or more
                if failed >= (_ATTEMPTS_LATER if arrived else _ATTEMPTS_AT_FIRST):
                    raise
            time.sleep(min(2.0**failed / 2, _LONGEST_WAIT_S))


async def _go_on(fs: HTTPFileSystem, url: str, target: Path, shown: Shown) -> None:
    """One request, for what is not there yet."""
    session: aiohttp.ClientSession = await fs.set_session()
    note, there = _read_note(target, url), _size(target)
    headers = {"Accept-Encoding": "identity"}
    if there:
        headers["Range"] = f"bytes={there}-"
        if note.version:
            headers["If-Range"] = note.version
    async with session.get(fs.encode_url(url), headers=headers) as answer:
        if there and answer.status == _BEYOND and there == note.size:
            return
        if answer.status in _PASSING:
            raise _TryAgainError(f"the server answers {answer.status} {answer.reason}")
        if there and answer.status == _BEYOND:
            target.unlink()
            raise _TryAgainError("the file is shorter than what is there of it: it was replaced")
        if answer.status not in (_OK, _PARTIAL):
            raise RefusedError(f"the server answers {answer.status} {answer.reason}")
        now = _told_by(answer, url)
        goes_on = answer.status == _PARTIAL and _start(answer) == there and note.size in (None, now.size)
        if answer.status == _PARTIAL and not goes_on:
            target.unlink(missing_ok=True)
            raise _TryAgainError("the server answers with another part than was asked for")
        storage.write_json(str(_note_file(target)), dataclasses.asdict(now))
        await _write(answer, target, there if goes_on else 0, now.size, shown)


async def _write(answer: aiohttp.ClientResponse, target: Path, there: int, size: int | None, shown: Shown) -> None:
    with target.open("ab" if there else "wb") as file:
        async for block in answer.content.iter_chunked(_BLOCK):
            file.write(block)
            there += len(block)
            shown(there, size)
    if size is not None and there != size:
        raise ShortReadError(f"{there} of {size} bytes arrived")


def _told_by(answer: aiohttp.ClientResponse, url: str) -> _Note:
    etag = answer.headers.get("ETag", "")
    version = etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified", "")
    whole = answer.headers.get("Content-Range", "").rpartition("/")[2]
    if answer.status == _OK:
        whole = answer.headers.get("Content-Length", "")
    return _Note(public(url), version, int(whole) if whole.isdigit() else None)


def _start(answer: aiohttp.ClientResponse) -> int:
    first = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdigit() else -1


def _note_file(target: Path) -> Path:
    return target.with_name(f"{target.name}.part-of.json")


def _read_note(target: Path, url: str) -> _Note:
    """What is there is a part of; of something else, or of what nobody noted, nothing is kept."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        note = _Note(**storage.read_json(str(_note_file(target))))
        if note.url == public(url):
            return note
    target.unlink(missing_ok=True)
    return _Note(public(url))


def _size(target: Path) -> int:
    return target.stat().st_size if target.is_file() else 0


def _filesystem() -> HTTPFileSystem:
    import aiohttp
    import fsspec

    # fsspec's own limit is five minutes in all, too short for gigabytes; a silent server is given up after one.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=60)
    return fsspec.filesystem("http", client_kwargs={"timeout": timeout, "trust_env": True})


@contextlib.contextmanager
def _progress(name: str) -> Iterator[Shown]:
    """A bar on a terminal; elsewhere a line every half a minute."""
    if not sys.stderr.isatty():
        yield _Lines(name)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()]
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)

        def shown(done: int, size: int | None) -> None:
            bar.update(task, completed=done, total=size)

        yield shown


class _Lines:
    def __init__(self, name: str) -> None:
        self._name, self._told = name, time.monotonic()

    def __call__(self, done: int, size: int | None) -> None:
        if time.monotonic() - self._told >= _TOLD_EVERY_S:
            self._told = time.monotonic()
            whole = f" of {size / 1e6:,.0f}" if size else ""
            print(f"fetching {self._name}: {done / 1e6:,.0f}{whole} MB", file=sys.stderr, flush=True)
