"""Tables of sources: CSV, Parquet or JSON lines with a `uri` column, row by row."""

from __future__ import annotations

import csv
import difflib
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from v2a_core import storage
from v2a_core.catalog import files
from v2a_core.catalog.files import FileInfo
from v2a_core.catalog_config import TEXT_FIELDS
from v2a_core.media.types import MediaError

COLUMNS = ("uri", "start_s", "duration_s", *TEXT_FIELDS)

# From so many rows in one remote folder on, listing the folder is cheaper than asking for every file.
_LIST_FROM = 8


@dataclass(frozen=True)
class Row:
    """A row with its values checked; `error` tells what is wrong with it."""

    number: int
    uri: str
    values: dict[str, Any]
    error: MediaError | None = None


def read_table(uri: str) -> Iterator[Row]:
    """The rows of a table; a relative `uri` is taken from the table's folder.

    Raises (while iterating):
        ValueError: When it is not a table or has no `uri` column.
    """
    name = uri.lower()
    records: Iterable[dict[str, Any]]
    if name.endswith(".parquet"):
        records, first = _parquet(uri), 1
    elif name.endswith(".csv"):
        records, first = _csv(uri), 2
    else:
        records, first = _json_lines(uri), 1
    folder = uri.rpartition("/")[0]
    for number, record in enumerate(records, start=first):
        yield _row(number, record, folder)


class Lookup:
    """Finds the files of a table's rows; a remote folder that is asked for often is listed once."""

    def __init__(self) -> None:
        self._asked: Counter[str] = Counter()
        self._folders: dict[str, dict[str, FileInfo]] = {}

    def find(self, uri: str) -> FileInfo:
        """Look a file up.

        Raises:
            FileNotFoundError: When there is none.
        """
        if not files.is_remote(uri):
            return files.stat(uri)
        parent, _, name = uri.rpartition("/")
        self._asked[parent] += 1
        if self._asked[parent] < _LIST_FROM:
            return files.stat(uri)
        if parent not in self._folders:
            fs, path = storage.filesystem(parent)
            entries = [entry for entry in fs.ls(path, detail=True) if entry["type"] == "file"]
            infos = {entry["name"].rpartition("/")[2]: files.remote_info(fs, entry) for entry in entries}
            self._folders[parent] = infos
        try:
            return self._folders[parent][name]
        except KeyError:
            raise FileNotFoundError(uri) from None


def _csv(uri: str) -> Iterator[dict[str, Any]]:
    reader = csv.DictReader(io.StringIO(read_text(uri), newline=""))
    _check_columns(uri, list(reader.fieldnames or []))
    try:
        yield from reader
    except csv.Error as error:
        raise ValueError(f"{uri}, line {reader.line_num}: not readable as CSV: {error}") from None


def _json_lines(uri: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(read_text(uri).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{uri}, line {number}: not readable as JSON: {error}") from None
        if not isinstance(record, dict):
            raise ValueError(f"{uri}, line {number}: a line must hold a JSON object")
        _check_columns(uri, list(record))
        yield record


def _parquet(uri: str) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(read_bytes(uri)))
        _check_columns(uri, file.schema_arrow.names)
        wanted = [name for name in COLUMNS if name in file.schema_arrow.names]
        for batch in file.iter_batches(columns=wanted):
            yield from batch.to_pylist()
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise ValueError(f"{uri} is not readable as Parquet: {error}") from None


def read_bytes(uri: str) -> bytes:
    """The whole file, local or not."""
    return storage.read_bytes(uri) if files.is_remote(uri) else files.local_path(uri).read_bytes()


def read_text(uri: str) -> str:
    """The text of a file.

    Raises:
        ValueError: When it is not UTF-8.
    """
    try:
        return read_bytes(uri).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{uri} is not UTF-8 text: {error}") from None


def _check_columns(uri: str, names: list[str]) -> None:
    if "uri" in names:
        return
    near = difflib.get_close_matches("uri", [name.lower() for name in names], n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r} to be `uri`?" if near else ""
    raise ValueError(f"{uri} has no column `uri`, only {', '.join(map(repr, names)) or 'none'}{hint}")


def _row(number: int, record: dict[str, Any], folder: str) -> Row:
    given = str(record.get("uri") or "").strip()
    uri = _resolve(given, folder) if given else folder
    try:
        if not given:
            raise ValueError("the uri is empty")
        values = dict(_values(record))
    except ValueError as error:
        return Row(number, uri, {}, MediaError("catalog", "BadRow", f"row {number}: {error}"))
    return Row(number, uri, values)


def _resolve(uri: str, folder: str) -> str:
    if files.is_remote(uri):
        return uri
    if files.is_remote(folder) and not uri.startswith(("/", "file://")):
        return f"{folder}/{uri}"
    return str(files.local_path(uri if uri.startswith(("/", "~", "file://")) else f"{folder}/{uri}"))


def _values(record: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in ("start_s", "duration_s"):
        value = _seconds(name, record.get(name))
        if value is not None:
            yield name, value
    for name in TEXT_FIELDS:
        value = record.get(name)
        if value is not None and str(value).strip():
            yield name, str(value)


def _seconds(name: str, value: Any) -> float | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} = {value!r} is not a number of seconds") from None
    if math.isnan(seconds):
        return None  # how tables from pandas spell "nothing"
    if not math.isfinite(seconds) or seconds < 0 or (name == "duration_s" and seconds == 0):
        raise ValueError(f"{name} = {value!r} is out of range")
    return seconds
