"""What goes wrong with files of web servers, in plain words and without the secrets of their addresses."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from v2a_core.storage.public import public, public_text

_NOT_FOUND, _DENIED = (404, 410), (401, 402, 403, 407, 451)
_LATER = (408, 425, 429, 500, 502, 503, 504)


class WebPageError(OSError):
    """The answer is a page for people (a login, an error, a notice), not the file."""


class ServerBusyError(ConnectionError):
    """The server asks to come again later."""


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
    message = f"{uri}: the server answers {status} {getattr(error, 'message', '')}".rstrip()
    if status in _NOT_FOUND:
        return FileNotFoundError(message)
    if status in _DENIED:
        return PermissionError(message)
    return ServerBusyError(message) if status in _LATER else OSError(message)
