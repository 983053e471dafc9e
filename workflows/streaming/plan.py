"""What a run has to do, as Ray gets it: sources that are not done, in blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import ray
from ray.data import Dataset

from v2a_core.catalog import Source, read_together
from v2a_core.outputs.ledger import Ledger
from v2a_core.tables import rows
from v2a_core.tables.partial import Partial

# Ray keeps a reference and a task for each block: a catalog of a million sources gets larger blocks, not more of them.
_MAX_BLOCKS, _LEAST_PER_BLOCK = 10_000, 4
_PLAN = pa.schema(
    [
        ("source", pa.string()),
        ("source_id", pa.string()),
        # What earlier runs have of it.
        ("done_segments", pa.list_(pa.string())),
        ("done_indices", pa.list_(pa.int32())),
        ("segment_count", pa.int32()),
    ]
)


@dataclass(frozen=True, slots=True)
class PlannedSource:
    """A source with something left to do, and what there is of it."""

    source: Source
    source_id: str
    done: Partial = field(default_factory=Partial)


def plan(sources: Sequence[Source], ids: Sequence[str], ledger: Ledger) -> list[PlannedSource]:
    """The sources that the ledger does not hold completely, with the segments it has of them.

    Args:
        sources: What was listed.
        ids: The id of each.
        ledger: What is done.
    """
    return [
        PlannedSource(sources[position], ids[position], ledger.partial.get(ids[position], Partial()))
        for position in ledger.unfinished(ids)
    ]


def dataset(planned: Sequence[PlannedSource], sources_per_block: int) -> Dataset:
    """The plan as a Ray dataset: small blocks, so that decode tasks are many and short.

    Args:
        planned: The sources.
        sources_per_block: Sources of a decode task; 0 chooses by their number.
    """
    return from_tables(plan_blocks(planned, block_size(len(planned), sources_per_block)))


def block_size(sources: int, wished: int) -> int:
    """Sources of a decode task of a plan with so many; `wished`: as set, 0 chooses."""
    return wished or max(_LEAST_PER_BLOCK, -(-sources // _MAX_BLOCKS))


def from_tables(tables: Iterable[pa.Table]) -> Dataset:
    """A Ray dataset with a block a table."""
    # Not `from_arrow`, which starts a task for each block to learn its schema.
    data: Dataset = ray.data.from_blocks(list(tables))
    return data


def plan_blocks(planned: Sequence[PlannedSource], size: int) -> Iterator[pa.Table]:
    """The plan as tables of `size` sources; members of a compressed shard stay together."""
    for start, end in read_together([item.source for item in planned], size):
        part = planned[start:end]
        yield pa.Table.from_pydict(
            {
                "source": [rows.pack_source(item.source) for item in part],
                "source_id": [item.source_id for item in part],
                "done_segments": [item.done.segments for item in part],
                "done_indices": [item.done.indices for item in part],
                "segment_count": [item.done.count for item in part],
            },
            schema=_PLAN,
        )


def read_blocks(batch: pa.Table) -> Iterator[PlannedSource]:
    """The inverse of `plan_blocks`, in a worker."""
    for item in batch.to_pylist():
        done = Partial(item["done_segments"], item["done_indices"], item["segment_count"])
        yield PlannedSource(rows.unpack_source(item["source"]), item["source_id"], done)
