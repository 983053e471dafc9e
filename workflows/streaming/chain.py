"""The first half of every streaming job: catalog -> plan -> decode -> CLIP, or what an earlier job saw."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, Dataset, TaskPoolStrategy

from v2a_core.catalog import ShardReader, Source, read_together
from v2a_core.encoders.config import EncoderSettings
from v2a_core.models import Bundle
from v2a_core.outputs.ledger import Ledger
from v2a_core.stages import reuse
from v2a_core.stages.decode import DecodeSettings, decode_rows
from v2a_core.stages.embed import embed_frames as embed_frames_of
from v2a_core.storage import retrying
from v2a_core.tables import rows
from v2a_core.tables.partial import Partial
from workflows.cluster_runtime.pools import Pools, Worker, device

ROWS_PER_YIELD = 4  # segments that a decode task gives on at once


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
    size = sources_per_block or max(_LEAST_PER_BLOCK, -(-len(planned) // _MAX_BLOCKS))
    return from_tables(plan_blocks(planned, size))


def from_tables(tables: Iterable[pa.Table]) -> Dataset:
    """A Ray dataset with a block a table."""
    # Not `from_arrow`, which starts a task for each block to learn its schema.
    data: Dataset = ray.data.from_blocks(list(tables))
    return data


def in_blocks_of(data: Dataset, rows: int, pools: Pools) -> Dataset:
    """The same rows in blocks of `rows`; only the last one may be smaller."""
    data = data.repartition(target_num_rows_per_block=rows, strict=True)
    # Ray would reserve a whole CPU for this step, and has no public way to ask for less.
    cut: Any = data._logical_plan.dag
    cut.ray_remote_args["num_cpus"] = pools.cut_cpus
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


def decode(data: Dataset, settings: DecodeSettings, pools: Pools) -> Dataset:
    """Segments with pixels and samples."""
    return data.map_batches(
        functools.partial(_decode_batch, settings=settings, worker=pools.worker),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=pools.decode_cpus,
        compute=TaskPoolStrategy(size=pools.decode_tasks),
    )


def embed_frames(data: Dataset, bundle: Bundle, settings: EncoderSettings, pools: Pools) -> Dataset:
    """Segments with frame embeddings instead of pixels."""
    return data.map_batches(
        ClipStage,
        fn_constructor_kwargs={"bundle": bundle, "settings": settings, "worker": pools.worker},
        batch_size=pools.segments_per_batch,
        batch_format="pyarrow",
        num_cpus=pools.actor_cpus,
        num_gpus=pools.actor_gpus / 4,  # CLIP ViT-B/32 is small: it shares its GPU with the stages behind it
        compute=ActorPoolStrategy(size=pools.actors),
    )


def see(
    planned: Sequence[PlannedSource],
    settings: DecodeSettings,
    bundle: Bundle,
    vision_dim: int,
    encoders: EncoderSettings,
    pools: Pools,
    parts: Mapping[str, Sequence[str]],
) -> Dataset:
    """Segments with frame embeddings: of sources that `v2a embed` has seen, read from `parts`; of others, made."""
    seen = {identity for ids in parts.values() for identity in ids}
    rest = [item for item in planned if item.source_id not in seen]
    data = []
    if parts:
        known = [item for item in planned if item.source_id in seen]
        data.append(read_embedded(parts, known, vision_dim, pools))
    if rest:
        decoded = decode(dataset(rest, pools.sources_per_block), settings, pools)
        data.append(embed_frames(decoded, bundle, encoders, pools))
    return data[0].union(*data[1:]) if len(data) > 1 else data[0]


def read_embedded(
    parts: Mapping[str, Sequence[str]], planned: Sequence[PlannedSource], vision_dim: int, pools: Pools
) -> Dataset:
    """Segments as `embed_frames` leaves them, from the files of `v2a embed`.

    Args:
        parts: For each file, the source ids wanted from it.
        planned: These sources.
        vision_dim: Numbers in a frame's embedding.
        pools: Workers.
    """
    packed = {item.source_id: rows.pack_source(item.source) for item in planned}
    schema = pa.schema(
        [("part", pa.string()), ("ids", pa.list_(pa.string())), ("sources", pa.list_(pa.string()))],
    )
    blocks = [
        pa.Table.from_pylist([{"part": part, "ids": ids, "sources": [packed[item] for item in ids]}], schema=schema)
        for part, ids in parts.items()
    ]
    return from_tables(blocks).map_batches(
        functools.partial(_read_batch, vision_dim=vision_dim, worker=pools.worker),
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=pools.decode_cpus / 2,  # reading is mostly waiting
        compute=TaskPoolStrategy(size=pools.decode_tasks),
    )


class ClipStage:
    """An actor that holds the vision encoder."""

    def __init__(self, bundle: Bundle, settings: EncoderSettings, worker: Worker) -> None:
        from v2a_core import encoders

        worker.set_up_model()
        local = bundle.resolve()
        self._image_size = local.media_spec().image_size
        self._encoder = encoders.build("vision", local.vision_encoder, local, settings, device())

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Embed the frames of a batch of segments."""
        return embed_frames_of(batch, self._encoder, self._image_size)


def _read_batch(batch: pa.Table, vision_dim: int, worker: Worker) -> Iterator[pa.Table]:
    worker.set_up()
    for item in batch.to_pylist():
        yield from reuse.read(item["part"], dict(zip(item["ids"], item["sources"], strict=True)), vision_dim)
    yield reuse.seen_schema(vision_dim).empty_table()


def _decode_batch(batch: pa.Table, settings: DecodeSettings, worker: Worker) -> Iterator[pa.Table]:
    worker.set_up()
    pending = []
    seen = retrying.traffic()
    with ShardReader() as shards:
        for item in batch.to_pylist():
            for row in _decode(item, settings, shards):
                before, seen = seen, retrying.traffic()
                pending.append(rows.with_traffic(row, seen.since(before)))
                if len(pending) == ROWS_PER_YIELD:
                    yield rows.table(pending)
                    pending = []
    yield rows.table(pending)


def _decode(item: Mapping[str, Any], settings: DecodeSettings, shards: ShardReader) -> Iterator[rows.DecodedRow]:
    done = Partial(item["done_segments"], item["done_indices"], item["segment_count"])
    source = rows.unpack_source(item["source"])
    for row in decode_rows(source, item["source_id"], done.segments, settings, shards):
        if row["segment_index"] < 0 and done.segments:
            yield from rows.rejected_rest(row, done)
        else:
            yield row
