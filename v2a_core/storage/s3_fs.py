"""s3fs whose requests end: an object that comes at a byte a second is no object; imports s3fs, so in its own file."""

from __future__ import annotations

import asyncio

import s3fs
from fsspec.asyn import sync_wrapper

from v2a_core.storage.trouble import ReplacedError, store_code

_CHANGED = frozenset({"412", "PreconditionFailed", "416", "InvalidRange"})


class BoundedS3FileSystem(s3fs.S3FileSystem):  # type: ignore[misc]
    """S3 with a longest time for a request, body and inner attempts included.

    botocore's `read_timeout` is the time between two bytes. A request that is over is cancelled and gives its
    connection back; one that were only left behind would keep it from the next.

    Args:
        request_s: That time, seconds.
        **settings: Of s3fs.
    """

    def __init__(self, *arguments: object, request_s: float | None = None, **settings: object) -> None:
        super().__init__(*arguments, **settings)
        self.request_s = request_s

    async def _call_s3(self, method: str, *arguments: object, **settings: object) -> object:
        async with asyncio.timeout(self.request_s):
            answer: object = await super()._call_s3(method, *arguments, **settings)
            return answer

    async def _cat_version(self, path: str, etag: str, start: int, end: int) -> bytes:
        """The bytes of a range of an object, as long as it is the one with this ETag.

        Raises:
            ReplacedError: When it is another one.
        """
        bucket, key, _ = self.split_path(path)
        wanted = {"Range": f"bytes={start}-{end - 1}", "IfMatch": f'"{etag}"', **self.req_kw}
        async with asyncio.timeout(self.request_s):
            try:
                answer = await super()._call_s3("get_object", Bucket=bucket, Key=key, **wanted)
            except OSError as error:
                if store_code(error) in _CHANGED:
                    raise ReplacedError(f"{path} is another object now") from None
                raise
            async with answer["Body"] as body:
                # A server that does not know the condition says what it sends all the same.
                if answer.get("ETag", "").strip('"') != etag:
                    raise ReplacedError(f"{path} is another object now")
                data: bytes = await body.read()
        return data

    cat_version = sync_wrapper(_cat_version)

    async def _cat_file(self, path: str, *arguments: object, **settings: object) -> bytes:
        async with asyncio.timeout(self.request_s):
            data: bytes = await super()._cat_file(path, *arguments, **settings)
            return data
