"""Columns of a sidecar: what another encoder makes of segments that are embedded already, in rows of their ids.

A group of columns comes as a whole: an array and what its rows stand for are never of two tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa

from v2a_core.tables.columns import Column, schema_of
from v2a_core.tables.schema import EMBEDDING_DIM, SOURCE, STATUS, embedding_columns

FRAMES, TIMED, HEARD = "frames", "timed", "heard"
GROUPS: Mapping[str, tuple[str, ...]] = {
    FRAMES: ("frame_times_s", "vision_frames"),
    TIMED: ("timing_times_s", "timing_motion", "timing_frames"),
    HEARD: ("timing_level", "timing_onsets_s"),
}
# Beside the ids: parts are sorted by `split` and `label`, as those of embeddings, so that both are read in one order.
_KEPT = ("segment_id", *(column.name for column in SOURCE), "label", "split", "segment_index", "segment_count")
REJECTION = ("status", "reject_stage", "reject_type", "reject_message", "attempts")


def columns_of(groups: Iterable[str]) -> tuple[str, ...]:
    """The names of the columns of some groups."""
    return tuple(name for group in GROUPS if group in set(groups) for name in GROUPS[group])


def groups_of(schema: pa.Schema) -> tuple[str, ...]:
    """The groups of a file of a sidecar."""
    return tuple(group for group, names in GROUPS.items() if set(names) <= set(schema.names))


def beside_columns(groups: Iterable[str], vision_dim: int = EMBEDDING_DIM) -> tuple[Column, ...]:
    """The columns of a sidecar.

    Args:
        groups: What it adds.
        vision_dim: Numbers in a frame's embedding.
    """
    wanted = {*_KEPT, *columns_of(groups), *(column.name for column in STATUS)}
    return tuple(column for column in embedding_columns(vision_dim, timing=True) if column.name in wanted)


def beside_schema(groups: Iterable[str], vision_dim: int = EMBEDDING_DIM) -> pa.Schema:
    """Their schema."""
    return schema_of(beside_columns(groups, vision_dim))
