"""Files of web servers through fsspec, with limits of time, one filesystem a process."""

from __future__ import annotations

import functools
import os
import threading
from typing import TYPE_CHECKING

from v2a_core.storage.config import StorageSettings

if TYPE_CHECKING:
    from v2a_core.storage.http_fs import WebFileSystem

_CONNECT_TIMEOUT_S = 10.0

_making = threading.Lock()


def filesystem(settings: StorageSettings) -> WebFileSystem:
    """The filesystem of web servers of this process for some settings."""
    with _making:  # threads that begin together would make one each
        return _filesystem(settings, os.getpid())


@functools.cache
def _filesystem(settings: StorageSettings, process: int) -> WebFileSystem:
    import aiohttp

    from v2a_core.storage.http_fs import WebFileSystem

    timeout = aiohttp.ClientTimeout(
        total=settings.longest_s,
        sock_connect=min(_CONNECT_TIMEOUT_S, settings.timeout_s),
        sock_read=settings.timeout_s,
    )
    return WebFileSystem(client_kwargs={"timeout": timeout}, skip_instance_cache=True)
