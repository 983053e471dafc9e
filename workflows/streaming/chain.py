"""The first half of every chain: from a plan to segments with frame embeddings, made or read from an earlier job."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from ray.data import Dataset

from v2a_core.catalog import ShardReader
from v2a_core.encoders.config import EncoderSettings
from v2a_core.models import Bundle
from v2a_core.outputs.joining import Beside
from v2a_core.stages import reuse
from v2a_core.stages.decode import DecodeSettings, decode_rows
from v2a_core.stages.embed import embed_frames as embed_frames_of
from v2a_core.storage import retrying
from v2a_core.tables import rows
from workflows.cluster_runtime import ray_private
from workflows.cluster_runtime.pools import Pools, device
from workflows.streaming.blocks import Blocks
from workflows.streaming.plan import Planned, PlannedSource, dataset, from_tables, read_blocks, unpack
from workflows.streaming.stages import ActorStage, Made, run_actors, run_tasks

# Pixels of a batch of segments, at most: it is held by Ray, by the stage that takes it, and by the next one in line.
_BATCH_BYTES = 256 * 2**20
ROWS_PER_YIELD = 4  # segments that a decode task gives on at once
_WANTED = pa.schema([("part", pa.string()), ("packed", pa.binary()), ("numbers", pa.binary())])


@dataclass(frozen=True)
class SeeSettings:
    """What seeing a source depends on.

    Attributes:
        decode: How sources are decoded.
        bundle: The models.
        vision_dim: Numbers in a frame's embedding.
        encoders: How the vision encoder runs.
    """

    decode: DecodeSettings
    bundle: Bundle
    vision_dim: int
    encoders: EncoderSettings


def decode(planned: Planned, settings: DecodeSettings, pools: Pools) -> Dataset:
    """Segments with pixels and samples."""
    return run_tasks(dataset(planned, Blocks.of(pools)), DecodeStage(settings), pools)


def see(planned: Planned, settings: SeeSettings, reusable: reuse.Reusable, then: ActorStage, pools: Pools) -> Dataset:
    """Segments with frame embeddings, and what becomes of them: of sources that `v2a embed` has seen, from there.

    Args:
        planned: The sources.
        settings: How they are seen.
        reusable: What `v2a embed` has seen of them.
        then: What small model takes the frame embeddings. Segments that are seen here never leave their actor between
            the two: another one would load Ray and torch again, and on a GPU hold memory of its own.
        pools: Workers.
    """
    seen = np.zeros(len(planned), bool)
    data = []
    if reusable.parts:
        seen[np.concatenate([wanted.sources for wanted in reusable.parts.values()])] = True
        read = read_embedded(reusable, planned, settings, pools)
        cpus = pools.actor_cpus / 2
        data.append(run_actors(read, then, pools, batch_size=pools.segments_per_batch, cpus=cpus, gpu="beside"))
    if len(rest := planned.where(~seen)):
        # CLIP ViT-B/32 is small: it shares its GPU with the stages behind it.
        stage = SeeStage(VisionStage(settings.bundle, settings.encoders, settings.decode.embeds_timed), then)
        decoded = decode(rest, settings.decode, pools)
        batch = segments_at_once(settings.decode, pools.segments_per_batch)
        data.append(run_actors(decoded, stage, pools, batch_size=batch, gpu="beside"))
    return data[0].union(*data[1:]) if len(data) > 1 else data[0]


def segments_at_once(settings: DecodeSettings, most: int) -> int:
    """Segments in a batch of the stage that sees: at most `most`, fewer where each has many frames."""
    frames, segments = settings.frames, settings.segments
    count = frames.max_frames if segments.whole else frames.most(segments.length_s)
    if settings.embeds_timed:
        count += math.ceil(segments.length_s * frames.timing_fps)
    return max(1, min(most, _BATCH_BYTES // (count * settings.spec.image_size**2 * 3)))


def read_embedded(reusable: reuse.Reusable, planned: Planned, settings: SeeSettings, pools: Pools) -> Dataset:
    """Segments as `VisionStage` leaves them, from the files of `v2a embed`.

    Args:
        reusable: What is read of each file.
        planned: The sources.
        settings: How they would be seen here.
        pools: Workers.
    """
    blocks = [
        pa.table(
            {
                "part": [part],
                "packed": [planned.packed(wanted.sources)],
                "numbers": [None if wanted.numbers is None else wanted.numbers.tobytes()],
            },
            schema=_WANTED,
        )
        for part, wanted in reusable.parts.items()
    ]
    # Reading is mostly waiting.
    denser = reuse.Denser(settings.decode.frames.timing_fps > 0, settings.decode.embeds_timed)
    stage = ReadEmbeddedStage(settings.vision_dim, denser, reusable.beside)
    cpus = pools.decode_cpus / 2
    return run_tasks(from_tables(blocks), stage, pools, batch_size=1, cpus=cpus)


def in_blocks_of(data: Dataset, rows: int, pools: Pools) -> Dataset:
    """The same rows in blocks of `rows`; only the last one may be smaller."""
    data = data.repartition(target_num_rows_per_block=rows, strict=True)
    # Ray would reserve a whole CPU for this step, and has no public way to ask for less.
    ray_private.reserve_cpus(data, pools.cut_cpus)
    return data


@dataclass(frozen=True)
class DecodeStage:
    """Planned sources in, their segments out, with pixels and samples."""

    settings: DecodeSettings

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Decode a block of the plan, a few segments at a time."""
        pending = []
        seen = retrying.traffic()
        with ShardReader() as shards:
            for item in read_blocks(batch):
                for row in self._decode(item, shards):
                    before, seen = seen, retrying.traffic()
                    pending.append(rows.with_traffic(row, seen.since(before)))
                    if len(pending) == ROWS_PER_YIELD:
                        yield rows.table(pending)
                        pending = []
        yield rows.table(pending)

    def _decode(self, item: PlannedSource, shards: ShardReader) -> Iterator[rows.DecodedRow]:
        for row in decode_rows(item.source, item.source_id, item.done.segments, self.settings, shards):
            if row["segment_index"] < 0 and item.done.segments:
                yield from rows.rejected_rest(row, item.done)
            else:
                yield row


@dataclass(frozen=True)
class ReadEmbeddedStage:
    """Names of files of `v2a embed` in, what they hold of some sources out."""

    vision_dim: int
    denser: reuse.Denser
    beside: Beside | None = None

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Read a file."""
        for item in batch.to_pylist():
            sources = {wanted.source_id: rows.pack_source(wanted.source) for wanted in unpack(item["packed"])}
            beside = (self.beside, np.frombuffer(item["numbers"], np.int64)) if self.beside else None
            yield from reuse.read(item["part"], sources, self.vision_dim, self.denser, beside)
        yield reuse.seen_schema(self.vision_dim, self.denser.frames).empty_table()


@dataclass(frozen=True)
class VisionStage(ActorStage):
    """Segments with pixels in, with frame embeddings out, of denser frames, too; an actor holds the vision encoder."""

    bundle: Bundle
    settings: EncoderSettings
    timing: bool = False

    def load(self) -> Callable[[pa.Table], pa.Table]:
        """Load the encoder."""
        from v2a_core import encoders

        local = self.bundle.resolve()
        image_size = local.media_spec().image_size
        encoder = encoders.build_vision(local, self.settings, device())
        return lambda batch: embed_frames_of(batch, encoder, image_size, self.timing)


@dataclass(frozen=True)
class SeeStage(ActorStage):
    """Segments with pixels in, with what a small model makes of their frame embeddings out; an actor holds both."""

    vision: VisionStage
    then: ActorStage

    def load(self) -> Callable[[pa.Table], Made]:
        """Load both models."""
        see, then = self.vision.load(), self.then.load()
        return lambda batch: then(see(batch))
