"""A column of a table that jobs hand to each other: its type and what it means, told once for code and documents."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        name: As it is in the files.
        type: Of its values.
        meaning: What it holds, with its unit.
        required: Whether every row has a value.
    """

    name: str
    type: pa.DataType
    meaning: str
    required: bool = False

    @property
    def told_type(self) -> str:
        """Its type in documents; Arrow's names of the elements of lists tell nothing."""
        return str(self.type).replace("item: ", "").replace("element: ", "")


def schema_of(columns: Iterable[Column]) -> pa.Schema:
    """The Arrow schema of a table of these columns."""
    return pa.schema([pa.field(column.name, column.type, nullable=not column.required) for column in columns])
