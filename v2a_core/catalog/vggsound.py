"""VGGSound's own table: no header; YouTube id, start second, label, split.

The files are clips already, named `<id>_<start:06d>.mp4`: the start second names the file and is no span in it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import Literal

from v2a_core import storage
from v2a_core.catalog import files
from v2a_core.catalog.formats import CATALOG_FORMATS
from v2a_core.catalog.records import read_text
from v2a_core.catalog.rooted import RootedFormat, RootedSettings, rooted
from v2a_core.catalog.table import Row, RowFields, bad_row, checked_text
from v2a_core.config import setting
from v2a_core.storage.public import public

_COLUMNS = 4


class VggSoundSettings(RootedSettings):
    """Where the files are, <id>_<start:06d>.mp4, that the table names by their ids."""

    kind: Literal["vggsound"] = setting("vggsound", "CSV of id, start, label, split", flag="--catalog-format")


class VggSound(RootedFormat):
    """VGGSound's table."""

    def rows(self, uri: str) -> Iterator[Row]:
        """The rows of a table."""
        return read_vggsound(uri, self._root)


def read_vggsound(uri: str, media_root: str) -> Iterator[Row]:
    """The rows of such a table.

    Args:
        uri: The table.
        media_root: Folder or URI prefix with the files.

    Raises (while iterating):
        ValueError: When it is no text.
    """
    root = rooted(media_root)
    base = files.readable(public(files.path_of(uri)).rpartition("/")[2])
    # Lines, not the whole text, so that a stray quote costs its line and not all that follow.
    for number, line in enumerate(read_text(uri).split("\n"), start=1):
        if line.strip():
            yield _row(f"{base}, line {number}", number, line.strip(), root)


def _row(place: str, number: int, line: str, root: str) -> Row:
    try:
        identity, start, label, split = _split(line)
        values: RowFields = {"label": checked_text("label", label), "split": checked_text("split", split)}
    except ValueError as error:
        return bad_row(place, number, error)
    return Row(place, number, storage.join(root, f"{identity}_{start:06d}.mp4"), values)


def _split(line: str) -> tuple[str, int, str, str]:
    """The four values of a line; commas of a label count as label whether it is quoted or not."""
    try:
        fields = next(csv.reader([line]))
    except csv.Error as error:
        raise ValueError(f"not readable as CSV: {error}") from None
    if len(fields) < _COLUMNS:
        raise ValueError(f"{len(fields)} values; VGGSound's tables have id, start second, label, split")
    identity, start = fields[0].strip(), fields[1].strip()
    if not re.fullmatch(r"[\w-]{1,64}", identity, re.ASCII):
        raise ValueError(f"id = {identity[:80]!r} is no YouTube id")
    if not re.fullmatch(r"\d{1,6}", start, re.ASCII):
        raise ValueError(f"start second = {start[:80]!r} is no number of seconds")
    return identity, int(start), ",".join(fields[2:-1]).strip(), fields[-1].strip()


CATALOG_FORMATS.add("vggsound", VggSound, VggSoundSettings)
