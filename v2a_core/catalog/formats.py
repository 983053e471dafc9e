"""Formats of catalog tables, by name. A new one is a file that registers itself with its settings, and a line here."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from typing import TYPE_CHECKING

from v2a_core.config import Settings, setting
from v2a_core.registry import Registry

if TYPE_CHECKING:
    from v2a_core.catalog.table import Row


# What a table or a shard's metadata may say of a source.
TEXT_FIELDS = ("label", "split", "caption", "prompt", "negative_prompt")
MAX_TEXT = 10_000  # characters of one of them: it is repeated in every row


class FormatSettings(Settings):
    """What the settings of every format are."""

    kind: str = setting(..., "the format")


class CatalogFormat(abc.ABC):
    """What the rows of a table say. Its name must be that of a table (`files.TABLE_SUFFIXES`).

    Args:
        settings: Its own.
    """

    def __init__(self, settings: FormatSettings) -> None:
        self.settings = settings

    @abc.abstractmethod
    def check(self) -> None:
        """Refuse, with ValueError, settings under which nothing can be listed; before any table is read."""

    @abc.abstractmethod
    def rows(self, uri: str) -> Iterator[Row]:
        """The rows of a table; those that cannot be used carry their error.

        Raises (while iterating):
            ValueError: When it is no such table.
        """

    @abc.abstractmethod
    def folder(self, uri: str) -> str:
        """Sources are named by their path from here on, without a slash at its end."""


CATALOG_FORMATS: Registry[type[CatalogFormat]] = Registry(
    "catalog format",
    "v2a.catalog_formats",
    {
        "auto": "v2a_core.catalog.table",
        "vggsound": "v2a_core.catalog.vggsound",
        "imagehear": "v2a_core.catalog.imagehear",
    },
)
