"""S3 through s3fs: one filesystem a process, requests that are retried and counted.

Credentials are never read here: botocore finds them, on each machine, and renews those that expire.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from v2a_core.storage import retrying
from v2a_core.storage.config import StorageSettings
from v2a_core.storage.trouble import store_code

if TYPE_CHECKING:
    from aiobotocore.session import AioSession

    from v2a_core.storage.s3_fs import BoundedS3FileSystem

_CONNECT_TIMEOUT_S = 10.0
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired"})
_NO_CODE = "400"  # an answer to HEAD has no body that could tell what was wrong

T = TypeVar("T")

_making = threading.Lock()


def filesystem(settings: StorageSettings) -> BoundedS3FileSystem:
    """The s3fs filesystem of this process for some settings."""
    with _making:  # threads that begin together would make one each, and each loads botocore
        return _filesystem(settings.with_environment(), os.getpid())


class ExpiredCredentialsError(PermissionError):
    """The store takes the credentials of this process no longer."""


def try_once(operation: Callable[[], T], settings: StorageSettings) -> T:
    """Run an operation; where the store says that the credentials have expired, read them anew.

    botocore renews what it fetches itself (roles, single sign-on), but reads a session's token from a file or the
    environment only once; whoever replaces that file over night expects it to be read.

    Raises:
        ExpiredCredentialsError: They had expired; another attempt uses those that are there now.
    """
    try:
        return operation()
    except OSError as error:
        code = store_code(error)
        if code not in _EXPIRED and code != _NO_CODE:
            raise
        message = (
            str(error) if code in _EXPIRED else f"{error}: credentials that have expired, or another region's bucket"
        )
    _renew(filesystem(settings))
    raise ExpiredCredentialsError(message)


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
def _filesystem(settings: StorageSettings, process: int) -> BoundedS3FileSystem:
    from v2a_core.storage.s3_fs import BoundedS3FileSystem

    config = {
        # Jittered, bounded backoff for 5xx, throttling (SlowDown), resets and time-outs, request by request.
        "retries": {"mode": "standard", "total_max_attempts": settings.attempts},
        "connect_timeout": min(_CONNECT_TIMEOUT_S, settings.timeout_s),
        "read_timeout": settings.timeout_s,
    }
    profile = {"profile": settings.profile} if settings.profile else {}
    fs = BoundedS3FileSystem(
        request_s=settings.longest_s,
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
    fs.session = _session(settings.profile)
    return fs


def _session(profile: str | None) -> AioSession:
    import aiobotocore.session

    session = aiobotocore.session.AioSession(profile=profile)
    session.register("needs-retry.s3", _count_retry)
    return session


def _renew(fs: BoundedS3FileSystem) -> None:
    """A new session, which finds the credentials that are there now, for whoever holds this filesystem."""
    fs.session = _session(fs.kwargs.get("profile"))
    fs.connect(refresh=True)


def _count_retry(attempts: int, **_: object) -> None:
    """Called after every attempt of a request; the second and later ones are retries."""
    if attempts > 1:
        retrying.count(retries=1)
