"""Tables of sources: CSV, Parquet or JSON lines with a `uri` column, row by row; each value is checked."""

from __future__ import annotations

import decimal
import math
import numbers
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypedDict

from v2a_core.catalog import files
from v2a_core.catalog.formats import CATALOG_FORMATS, MAX_TEXT, TEXT_FIELDS, CatalogFormat, FormatSettings
from v2a_core.catalog.records import BadRecord, read_csv, read_json_lines, read_parquet
from v2a_core.config import setting
from v2a_core.media.types import MediaError
from v2a_core.storage.public import public

COLUMNS = ("uri", "start_s", "duration_s", *TEXT_FIELDS)

_MAX_URI = 8192
_MAX_SECONDS = 1e8  # three years
_SHOWN = 80


class RowFields(TypedDict, total=False):
    """The fields of `Source` that a row may set; None, or not there, where it says nothing."""

    start_s: float | None
    duration_s: float | None
    label: str | None
    split: str | None
    caption: str | None
    prompt: str | None
    negative_prompt: str | None


@dataclass(frozen=True)
class Row:
    """A row with its values checked.

    Attributes:
        place: Table, line or row: `clips.csv, line 7`.
        number: Of the line, or row.
        uri: What it names; of a row with an error possibly empty.
        values: Fields of `Source`.
        error: What is wrong with it.
    """

    place: str
    number: int
    uri: str
    values: RowFields
    error: MediaError | None = None


class TableSettings(FormatSettings):
    """A row a source."""

    kind: Literal["auto"] = setting(
        "auto",
        "auto: tables with a uri column; vggsound: CSV of id, start, label, split; imagehear: names of its pictures",
        flag="--catalog-format",
    )


class Table(CatalogFormat):
    """CSV, Parquet or JSON lines with a `uri` column."""

    def check(self) -> None:
        """All of it is in the table."""

    def rows(self, uri: str) -> Iterator[Row]:
        """The rows of a table; a relative `uri` is taken from the table's folder."""
        return read_table(uri)

    def folder(self, uri: str) -> str:
        """That of the table."""
        return uri.rpartition("/")[0]


def read_table(uri: str) -> Iterator[Row]:
    """The rows of a table; a relative `uri` is taken from the table's folder.

    Raises (while iterating):
        ValueError: When it is not a table or has no `uri` column.
    """
    name = files.path_of(uri)
    folder, _, base = public(name).rpartition("/")
    if name.lower().endswith(".parquet"):
        records, unit = read_parquet(uri, COLUMNS), "row"
    else:
        records, unit = (read_csv if name.lower().endswith(".csv") else read_json_lines)(uri), "line"
    for number, record in records:
        place = f"{files.readable(base)}, {unit} {number}"
        try:
            if isinstance(record, BadRecord):
                raise ValueError(record.reason)
            yield Row(place, number, _uri(record.get("uri"), folder), _values(record))
        except ValueError as error:
            yield bad_row(place, number, error)


def bad_row(place: str, number: int, error: ValueError) -> Row:
    """A row that cannot be used."""
    return Row(place, number, "", {}, MediaError("catalog", "BadRow", f"{place}: {error}"))


def checked_text(name: str, value: object) -> str | None:
    """A value as text that can be written down; None for nothing.

    Raises:
        ValueError: Naming the column, when it is no text, or too long.
    """
    if isinstance(value, bytes):  # how some programs write text into Parquet
        value = value.decode("utf-8", "surrogateescape")
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, list | tuple | dict | set):
        raise ValueError(f"column {name} holds a {type(value).__name__}, not a text")
    text = str(value)
    limit = _MAX_URI if name == "uri" else MAX_TEXT
    if len(text) > limit:
        raise ValueError(f"column {name} holds {len(text):,} characters; {limit:,} are allowed")
    if not files.is_text(text):
        raise ValueError(f"column {name} = {_shown(text)} is not UTF-8 text")
    return text if text.strip() else None


def _uri(value: object, folder: str) -> str:
    text = checked_text("uri", value)
    if text is None:
        raise ValueError("column uri is empty")
    if "\0" in text:
        raise ValueError(f"column uri = {_shown(text)} is a name that no file can have")
    uri = text.strip()
    if files.is_remote(uri):
        return uri
    if files.is_remote(folder) and not uri.startswith(("/", "file://")):
        return f"{folder}/{uri}"
    return str(files.local_path(uri if uri.startswith(("/", "~/", "file://")) else f"{folder}/{uri}"))


def _values(record: dict[str, object]) -> RowFields:
    def text(name: str) -> str | None:
        return checked_text(name, record.get(name))

    return {
        "start_s": _seconds("start_s", record.get("start_s")),
        "duration_s": _seconds("duration_s", record.get("duration_s")),
        "label": text("label"),
        "split": text("split"),
        "caption": text("caption"),
        "prompt": text("prompt"),
        "negative_prompt": text("negative_prompt"),
    }


def _seconds(name: str, value: object) -> float | None:
    """A time in whole microseconds, as spans are told apart by."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        if isinstance(value, bool) or not isinstance(value, str | numbers.Real | decimal.Decimal):
            raise TypeError
        seconds = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"column {name} = {_shown(value)} is not a number of seconds") from None
    except OverflowError:
        seconds = math.inf
    if math.isnan(seconds):
        return None  # how tables from pandas spell "nothing"
    seconds = round(seconds, 6) if math.isfinite(seconds) else seconds
    if not 0 <= seconds <= _MAX_SECONDS or (name == "duration_s" and seconds == 0):
        raise ValueError(f"column {name} = {_shown(value)} is out of range: 0 to {_MAX_SECONDS:,.0f} seconds")
    return seconds


def _shown(value: object) -> str:
    """A value as a message can hold it."""
    try:
        text = ascii(value)
    except (ValueError, RecursionError):  # a number of thousands of digits
        return f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


CATALOG_FORMATS.add("auto", Table, TableSettings)
