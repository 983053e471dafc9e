"""The rows that soundtracks are evaluated in, with the columns of all extractors."""

from __future__ import annotations

import functools

import pyarrow as pa

from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.tables import evaluated
from v2a_core.tables.columns import Column, schema_of
from v2a_core.tables.features import carried


@functools.cache
def evaluated_columns() -> tuple[Column, ...]:
    """The columns of a segment of a soundtrack, with everything that metrics need."""
    entries = [EXTRACTORS[name] for name in EXTRACTORS.names()]
    return evaluated.evaluated_columns(column for entry in entries for column in entry.component.row_columns())


@functools.cache
def evaluated_schema() -> pa.Schema:
    """Their schema."""
    return schema_of(evaluated_columns())


@functools.cache
def read_schema() -> pa.Schema:
    """The schema on the way from reading to embedding, with the samples."""
    return evaluated.with_samples(evaluated_schema(), carried(()))
