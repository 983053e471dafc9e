"""fsspec's filesystem of web servers, stricter; in a file of its own because it imports aiohttp."""

from __future__ import annotations

import aiohttp
from fsspec.implementations import http

from v2a_core.storage.http_errors import WebPageError, plain_errors
from v2a_core.storage.public import public

_REFUSED_HEAD = (400, 403, 405, 501)  # links that are signed for GET answer so
_PARTIAL = 206


class WebFileSystem(http.HTTPFileSystem):  # type: ignore[misc]
    """Files of web servers: a failure is info as what it is, and an HTML page is not a file."""

    async def _info(self, url: str, **kwargs: object) -> dict[str, object]:
        """What a server tells about a file, without fetching it; `size` is None where it does not say.

        fsspec's own takes every failure, also a time-out, for a missing file.
        """
        session = await self.set_session()
        address = self.encode_url(url)
        with plain_errors(url):
            try:
                info = await http._file_info(address, session, size_policy="head", **self.kwargs)
            except aiohttp.ClientResponseError as error:
                if error.status not in _REFUSED_HEAD:
                    raise
                info = {}
            if info.get("size") is None:
                info |= await http._file_info(address, session, size_policy="get", **self.kwargs)
        return {"name": url, "size": None, **info, "type": "file"}

    async def _cat_file(self, url: str, start: int | None = None, end: int | None = None, **kwargs: object) -> bytes:
        """The bytes of a file, or of a range of it, also from servers that know no ranges.

        Raises:
            WebPageError: When the answer is a page.
        """
        headers = {"Accept-Encoding": "identity"}
        if start is not None:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        session = await self.set_session()
        with plain_errors(url):
            async with session.get(self.encode_url(url), headers=headers) as answer:
                answer.raise_for_status()
                if answer.content_type == "text/html":
                    raise WebPageError(f"{public(url)}: the server answers with a web page (text/html), not the file")
                data: bytes = await answer.read()
        return data if answer.status == _PARTIAL else data[start:end]
