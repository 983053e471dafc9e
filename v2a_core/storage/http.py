"""Files of web servers through fsspec, with limits of time, plain errors, and no web page taken for a video."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from typing import Any

from v2a_core.storage.config import StorageSettings
from v2a_core.storage.public import public, public_text

_CONNECT_TIMEOUT_S = 10.0
_NOT_FOUND, _DENIED = (404, 410), (401, 402, 403, 407, 451)
_LATER = (408, 425, 429, 500, 502, 503, 504)

_making = threading.Lock()


class WebPageError(OSError):
    """The answer is a page for people (a login, an error, a notice), not the file."""


class ServerBusyError(ConnectionError):
    """The server asks to come again later."""


def filesystem(settings: StorageSettings) -> Any:
    """The filesystem of web servers of this process for some settings."""
    with _making:  # threads that begin together would make one each
        return _filesystem(settings, os.getpid())


@functools.cache
def _filesystem(settings: StorageSettings, process: int) -> Any:
    import aiohttp

    from v2a_core.storage.http_fs import WebFileSystem

    timeout = aiohttp.ClientTimeout(
        total=settings.longest_s,
        sock_connect=min(_CONNECT_TIMEOUT_S, settings.timeout_s),
        sock_read=settings.timeout_s,
    )
    return WebFileSystem(client_kwargs={"timeout": timeout}, skip_instance_cache=True)


@contextlib.contextmanager
def plain_errors(uri: str) -> Iterator[None]:
    """What aiohttp raises as an OSError that says what is wrong, without the address and its secrets."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith("aiohttp."):
            raise
        raise _plain(error, public(uri)) from None


def _plain(error: Exception, uri: str) -> OSError:
    status = getattr(error, "status", None)
    if not isinstance(status, int):
        kind = TimeoutError if isinstance(error, TimeoutError) else ConnectionError
        return kind(f"{uri}: {type(error).__name__}: {public_text(str(error))}")
    told = f"{uri}: the server answers {status} {getattr(error, 'message', '')}".rstrip()
    if status in _NOT_FOUND:
        return FileNotFoundError(told)
    if status in _DENIED:
        return PermissionError(told)
    return ServerBusyError(told) if status in _LATER else OSError(told)
