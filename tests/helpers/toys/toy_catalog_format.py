"""A format of catalogs of another package: lines of `name;label;split` beside a folder of files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from v2a_core import storage
from v2a_core.catalog.formats import CATALOG_FORMATS, CatalogFormat, FormatSettings
from v2a_core.catalog.table import Row, bad_row
from v2a_core.config import setting


class LinesSettings(FormatSettings):
    """What can be set."""

    kind: Literal["lines"] = setting("lines", "lines of name;label;split")
    suffix: str = setting(".mp4", "of the files", min_length=2)


class Lines(CatalogFormat):
    """Such a table; its files lie beside it."""

    def __init__(self, settings: LinesSettings) -> None:
        super().__init__(settings)
        self._suffix = settings.suffix

    def check(self) -> None:
        """Nothing can be wrong before the table is read."""

    def folder(self, uri: str) -> str:
        """That of the table."""
        return uri.rpartition("/")[0]

    def rows(self, uri: str) -> Iterator[Row]:
        """A row a line."""
        for number, line in enumerate(storage.read_bytes(uri).decode().splitlines(), start=1):
            place, values = f"{Path(uri).name}, line {number}", line.split(";")
            if len(values) != 3:
                yield bad_row(place, number, ValueError(f"{len(values)} values; name;label;split are needed"))
            else:
                name, label, split = values
                yield Row(place, number, f"{self.folder(uri)}/{name}{self._suffix}", {"label": label, "split": split})


CATALOG_FORMATS.add("lines", Lines, LinesSettings)
