"""How many rows a second this machine can commit: what limits a run whose stages are faster than that."""

from __future__ import annotations

import tempfile
import time

import numpy as np
import pyarrow as pa

from v2a_core.outputs.parts import PartSettings, write_part

_ROWS = 2048  # a row group
_FRAMES, _NUMBERS = 10, 512  # of a list of vectors, and of a list of numbers: as ten seconds have them


def commit_rate(schema: pa.Schema, settings: PartSettings) -> int:
    """Rows a second that all writing threads commit together, by one part that is really written; storage aside.

    Args:
        schema: Of the rows; made-up ones are written, whose lists are as long as those of a segment.
        settings: How many parts are written at once.
    """
    table = _rows(schema)
    with tempfile.TemporaryDirectory(prefix="v2a-") as folder:
        started = time.perf_counter()
        write_part(folder, table, time.time_ns(), [(schema.names[0], "ascending")])
        seconds = time.perf_counter() - started
    return round(settings.threads * _ROWS / seconds)


def _rows(schema: pa.Schema) -> pa.Table:
    random = np.random.default_rng(0)
    return pa.Table.from_arrays([_column(field.type, _ROWS, random) for field in schema], schema=schema)


def _column(kind: pa.DataType, rows: int, random: np.random.Generator) -> pa.Array:
    if pa.types.is_list(kind):
        each = _NUMBERS if pa.types.is_floating(kind.value_type) else _FRAMES
        offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * each)
        return pa.ListArray.from_arrays(offsets, _column(kind.value_type, rows * each, random)).cast(kind)
    if pa.types.is_fixed_size_list(kind):
        inner = _column(kind.value_type, rows * kind.list_size, random)
        return pa.FixedSizeListArray.from_arrays(inner, kind.list_size).cast(kind)
    if pa.types.is_float16(kind):
        return pa.array(random.standard_normal(rows).astype(np.float16))
    if pa.types.is_string(kind):
        return pa.array([random.bytes(16).hex() for _ in range(rows)], kind)
    if pa.types.is_floating(kind):
        return pa.array(random.standard_normal(rows)).cast(kind)
    return _whole(kind, rows)


def _whole(kind: pa.DataType, rows: int) -> pa.Array:
    if pa.types.is_boolean(kind):
        return pa.array(np.arange(rows) % 2 == 0)
    if pa.types.is_integer(kind) or pa.types.is_timestamp(kind):
        return pa.array(np.arange(rows)).cast(pa.int64()).cast(kind)
    return pa.nulls(rows, kind)
