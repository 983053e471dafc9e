"""The records of a table: CSV, JSON lines or Parquet, each read so that a broken one costs itself and no other.

A record is told with its place (`line 7`, of Parquet `row 7`); one that cannot be read is a `BadRecord` in its place.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from v2a_core import storage
from v2a_core.catalog import files
from v2a_core.storage.public import public

if TYPE_CHECKING:
    import pyarrow as pa

_MAX_LINES = 1000  # of one record of a CSV: what is quoted may have line ends in it
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class BadRecord:
    """A record that cannot be read, and why."""

    reason: str


Record: TypeAlias = dict[str, object] | BadRecord


def read_csv(uri: str) -> Iterator[tuple[int, Record]]:
    """Line number and record of each row.

    Raises (while iterating):
        ValueError: Without a `uri` column, or when it is no text.
    """
    found = csv_lines(uri)
    _, header = next(found, (0, []))
    if isinstance(header, BadRecord):
        raise ValueError(f"{public(uri)}, line 1: {header.reason}")
    check_columns(uri, header)
    for number, values in found:
        yield number, values if isinstance(values, BadRecord) else dict(zip(header, values, strict=False))


def csv_lines(uri: str) -> Iterator[tuple[int, list[str] | BadRecord]]:
    """Line number and values of each row of a CSV.

    Raises:
        ValueError: When it is no text.
    """
    lines = list(io.StringIO(read_text(uri), newline=""))
    csv.field_size_limit(2**31 - 1)  # of this process; who reads a row judges its cells
    at = 0
    while at < len(lines):
        try:
            values, used = _csv_record(lines, at)
        except csv.Error as error:
            yield at + 1, BadRecord(f"not readable as CSV: {error}")
            at += 1
            continue
        if values:
            yield at + 1, values
        at += used


def _csv_record(lines: Sequence[str], at: int) -> tuple[list[str], int]:
    """The record that begins at a line, and its number of lines.

    Raises:
        csv.Error: When a quote is opened and not closed, as far as that can be told.
    """
    if '"' not in lines[at]:
        return next(csv.reader([lines[at]]), []), 1
    end = min(len(lines), at + _MAX_LINES)
    reader = csv.reader(lines[line] for line in range(at, end))
    values = next(reader, [])
    used = reader.line_num
    if used > 1:
        # A stray quote takes what follows up to the next one for its cell: read strictly, that is an error.
        next(csv.reader((lines[line] for line in range(at, at + used)), strict=True))
    return values, used


def read_json_lines(uri: str) -> Iterator[tuple[int, Record]]:
    """Line number and record of each line that is not empty.

    Raises (while iterating):
        ValueError: When no line holds an object with a `uri`.
    """
    first: str | None = None
    good = False
    # Not `splitlines`: JSON may hold U+2028 and the like as they are.
    for number, line in enumerate(read_text(uri).split("\n"), start=1):
        if not line.strip():
            continue
        record = _json_record(line)
        good = good or not isinstance(record, BadRecord)
        if isinstance(record, BadRecord):
            first = first or f"line {number}: {record.reason}"
        yield number, record
    if first and not good:
        raise ValueError(f"{public(uri)} holds no line that is a JSON object with a `uri`; {first}")


def _json_record(line: str) -> Record:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        return BadRecord(f"not readable as JSON: {error.msg}, column {error.colno}")
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; lists in lists in lists
        return BadRecord(f"not readable as JSON: {error}")
    if not isinstance(record, dict):
        return BadRecord("a line must hold a JSON object")
    return record if "uri" in record else BadRecord(no_uri(list(record)))


def read_parquet(uri: str, columns: Sequence[str]) -> Iterator[tuple[int, Record]]:
    """Row number and record of each row, of those columns that there are.

    Raises (while iterating):
        ValueError: When it is not readable as Parquet, or has no `uri` column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        file = pq.ParquetFile(io.BytesIO(_content(uri)))
        check_columns(uri, file.schema_arrow.names)
        wanted = [name for name in columns if name in file.schema_arrow.names]
        for batch in file.iter_batches(columns=wanted):
            for record in _parquet_records(batch):
                number += 1
                yield number, record
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{public(uri)} is not readable as Parquet: {error}") from None


def _parquet_records(batch: pa.RecordBatch) -> Iterator[Record]:
    try:
        records: Iterable[Record] = batch.to_pylist()
    except (ValueError, ArithmeticError):  # text that is none, a time beyond those of Python
        records = (_parquet_record(batch, row) for row in range(batch.num_rows))
    yield from records


def _parquet_record(batch: pa.RecordBatch, row: int) -> Record:
    record: dict[str, object] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            record[name] = column[row].as_py()
        except (ValueError, ArithmeticError) as error:
            return BadRecord(f"column {name} is not readable: {error}")
    return record


def check_columns(uri: str, names: Sequence[str]) -> None:
    """Refuse a table without a `uri` column, or with two.

    Raises:
        ValueError: With what its column may be called.
    """
    if "uri" not in names:
        raise ValueError(f"{public(uri)} has {no_uri(names)}")
    if list(names).count("uri") > 1:
        raise ValueError(f"{public(uri)} has two columns `uri`: rename the one that is not meant")


def no_uri(names: Sequence[str]) -> str:
    """What there is instead of a `uri`."""
    near = difflib.get_close_matches("uri", [name.lower() for name in names], n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r} to be `uri`?" if near else ""
    return f"no column `uri`, only {', '.join(map(ascii, names))[:500] or 'none'}{hint}"


def read_text(uri: str) -> str:
    """The text of a file; bytes that are not UTF-8 become surrogates, so that they cost their row only.

    Raises:
        ValueError: When it is UTF-16.
    """
    content = _content(uri)
    if content.startswith(_UTF16):
        raise ValueError(f"{public(uri)} is UTF-16: save it as UTF-8")
    return content.decode("utf-8-sig", "surrogateescape")


def _content(uri: str) -> bytes:
    return storage.read_bytes(uri) if files.is_remote(uri) else files.local_path(uri).read_bytes()
