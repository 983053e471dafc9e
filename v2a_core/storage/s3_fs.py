"""s3fs whose requests end: an object that comes at a byte a second is no object; imports s3fs, so in its own file."""

from __future__ import annotations

import asyncio

import s3fs


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

    async def _cat_file(self, path: str, *arguments: object, **settings: object) -> bytes:
        async with asyncio.timeout(self.request_s):
            data: bytes = await super()._cat_file(path, *arguments, **settings)
            return data
