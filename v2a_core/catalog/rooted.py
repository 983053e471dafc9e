"""What formats have in common whose tables name files by less than an address: the files lie under a root."""

from __future__ import annotations

import pydantic

from v2a_core.catalog import files
from v2a_core.catalog.expand import is_folder
from v2a_core.catalog.formats import CatalogFormat, FormatSettings
from v2a_core.config import setting
from v2a_core.storage.public import public


class RootedSettings(FormatSettings):
    """Where the files are that a table names."""

    media_root: str = setting(
        "", "folder or URI prefix of the files that the table names (needed)", flag="--media-root"
    )

    @pydantic.model_validator(mode="after")
    def _has_a_root(self) -> RootedSettings:
        if not self.media_root:
            raise ValueError(f"--catalog-format {self.kind} needs --media-root: where the files are that it names")
        return self


class RootedFormat(CatalogFormat):
    """A table of files under a root.

    Args:
        settings: Where the files are.
    """

    def __init__(self, settings: RootedSettings) -> None:
        super().__init__(settings)
        self._root = settings.media_root

    def check(self) -> None:
        """Refuse a root that is not there."""
        if not is_folder(self._root):
            raise ValueError(f"--media-root {public(self._root)} does not exist, or is no folder")

    def folder(self, uri: str) -> str:
        """The root, wherever the table is."""
        return self._root.rstrip("/")


def rooted(media_root: str) -> str:
    """A root as rows name it."""
    return media_root.rstrip("/") if files.is_remote(media_root) else str(files.local_path(media_root))
