"""S3 through s3fs: one filesystem a process, requests that are retried and counted.

Credentials are never read here: botocore finds them, on each machine, and renews those that expire.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from typing import Any

from v2a_core import retrying
from v2a_core.storage_config import StorageSettings

_CONNECT_TIMEOUT_S = 10.0


def filesystem(settings: StorageSettings) -> Any:
    """The s3fs filesystem of this process for some settings."""
    return _filesystem(settings.with_environment(), os.getpid())


def forget() -> None:
    """Let the next call read credentials anew: those of a shared file may have been replaced since."""
    _filesystem.cache_clear()


@contextlib.contextmanager
def plain_errors(uri: str) -> Iterator[None]:
    """What botocore raises besides OSError (no credentials, no such profile, no server there) as an OSError.

    Its own message names no secret; the exception's context would show the request with its signature.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        if not type(error).__module__.startswith(("botocore.", "aiobotocore.")):
            raise
        raise OSError(f"{uri}: {type(error).__name__}: {error}") from None


@functools.cache
def _filesystem(settings: StorageSettings, process: int) -> Any:
    import aiobotocore.session
    import s3fs

    config = {
        # Jittered, bounded backoff for 5xx, throttling (SlowDown), resets and time-outs, request by request.
        "retries": {"mode": "standard", "total_max_attempts": settings.attempts},
        "connect_timeout": min(_CONNECT_TIMEOUT_S, settings.timeout_s),
        "read_timeout": settings.timeout_s,
    }
    profile = {"profile": settings.profile} if settings.profile else {}
    fs = s3fs.S3FileSystem(
        anon=settings.anonymous,
        endpoint_url=settings.endpoint,
        requester_pays=settings.request_payer,
        client_kwargs={"region_name": settings.region} if settings.region else {},
        config_kwargs=config,
        skip_instance_cache=True,
        use_listings_cache=False,
        **profile,
    )
    fs.retries = 1  # s3fs's own loop on top of botocore's would multiply the attempts
    # Not an argument: those travel when a filesystem is pickled (Ray Train does), and a session cannot.
    fs.session = aiobotocore.session.AioSession(**profile)
    fs.session.register("needs-retry.s3", _count_retry)
    return fs


def _count_retry(attempts: int, **_: Any) -> None:
    """Called after every attempt of a request; the second and later ones are retries."""
    if attempts > 1:
        retrying.count(retries=1)
