"""Files beside a page: what it shows and does not hold itself."""

from __future__ import annotations

import shutil
from pathlib import PurePosixPath
from urllib.parse import quote

from v2a_core import storage

_MEDIA = "page-media"


def href(folder: str, uri: str) -> str:
    """A link from the page to a file inside its folder.

    Every character that means something in a URL is percent-encoded, and the link starts with `./`, so no file name
    can turn into a scheme, a query or a fragment.
    """
    return "./" + quote(uri.removeprefix(folder.rstrip("/") + "/"), safe="/")


class Shelf:
    """Puts files beside a page; for several threads at once.

    Args:
        folder: Of the page.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def place(self, uri: str, name: str) -> str:
        """The link to a file, after a copy into the page's folder when it is elsewhere.

        Args:
            uri: The file.
            name: Of the copy, without its suffix.
        """
        uri = storage.canonical(uri)
        if uri.startswith(self._folder.rstrip("/") + "/"):
            return href(self._folder, uri)
        copy = storage.join(self._folder, _MEDIA, f"{name}{PurePosixPath(uri).suffix.lower()}")
        with storage.local_copy(uri) as path, storage.writing(copy) as target:
            shutil.copyfile(path, target)
        return href(self._folder, copy)

    def save(self, name: str, data: bytes | None) -> str | None:
        """The link to a new file with this content; None for none."""
        if data is None:
            return None
        uri = storage.join(self._folder, _MEDIA, name)
        storage.write_bytes(uri, data)
        return href(self._folder, uri)
