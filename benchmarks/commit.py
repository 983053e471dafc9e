"""How many rows a second a run takes in and commits when its stages do nothing: the driver's limit.

Run `python benchmarks/commit.py` (with `--rows 200000 --batch 32 --writers 2`, for example). A task makes rows of
embeddings of their real size (ten frames, 12.6 kB), an actor hands batches of them on, and the loop of every streaming
job takes them in: it tells rows that came twice, counts, and writes parts. Then the same without Ray, and the writer
alone. The CPU seconds are those of the driver, all of its threads; on a machine with other work they are the steadier
figure.
"""

from __future__ import annotations

import argparse
import functools
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from peak import peak_mb

from v2a_core.compute.ids import pack_digests, unpack
from v2a_core.outputs import manifest
from v2a_core.outputs.ledger import embeddings_ledger
from v2a_core.outputs.parts import PartSettings, PartWriter
from v2a_core.outputs.unfinished import Unfinished
from v2a_core.tables.schema import EMBEDDINGS, ROWS_FOLDER
from workflows.cluster_runtime.config import PoolSettings
from workflows.cluster_runtime.pools import start_pools
from workflows.streaming.config import LimitSettings
from workflows.streaming.plan import from_tables
from workflows.streaming.stages import ActorStage, run_actors, run_tasks
from workflows.streaming.stream import Sink, stream
from workflows.streaming.summary import Tally

PER_TASK = 4096
FRAMES, DIM = 10, 512


def main() -> None:
    """Print rows a second of each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=81_920)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--writers", type=int, default=0)
    given = parser.parse_args()
    tasks, settings = max(1, given.rows // PER_TASK), PartSettings(writers=given.writers)
    made = [table for task in range(tasks) for table in make(task, given.batch)]
    print(f"{tasks * PER_TASK} rows, {settings.threads} parts at once")
    _report("writer", tasks, settings, functools.partial(_writer, made))
    _report("loop", tasks, settings, functools.partial(_loop, made))
    made.clear()
    _report("with Ray", tasks, settings, lambda sink: _through_ray(sink, tasks, given.batch))


def _report(name: str, tasks: int, settings: PartSettings, run: Callable[[Sink], None]) -> None:
    count = tasks * PER_TASK
    with tempfile.TemporaryDirectory(prefix="v2a-commit-") as folder:
        sink = _sink(folder, tasks, settings)
        wall, cpu = time.perf_counter(), time.process_time()
        run(sink)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        held = embeddings_ledger(f"{folder}/{ROWS_FOLDER}")
        assert (held.rows, held.totals().sources) == (count, count)
    print(
        f"{name:9} {count / wall:8.0f} rows/s, {count / cpu:8.0f} rows for a CPU second, peak {peak_mb():.0f} MB",
        flush=True,
    )


def _sink(folder: str, tasks: int, settings: PartSettings) -> Sink:
    made_by = manifest.new("embed", identity={}, config={}, bundle={}, spaces={})
    made_by = manifest.open_output(folder, made_by)
    metadata = manifest.part_metadata(made_by)
    place = str(Path(folder, ROWS_FOLDER))
    writer = PartWriter(place, EMBEDDINGS, id_column="segment_id", seen=(), settings=settings, metadata=metadata)
    tally = Tally("embed", planned=tasks * PER_TASK)
    ids = np.concatenate([_ids(task) for task in range(tasks)])
    tally.expect(ids, [""] * len(ids))
    return Sink(writer, Unfinished(folder), tally, LimitSettings(), {}, None)


def _writer(made: list[pa.Table], sink: Sink) -> None:
    for table in made:
        sink.writer.add(table)
    sink.writer.flush()


def _loop(made: list[pa.Table], sink: Sink) -> None:
    for table in made:
        sink.take(table)
        sink.tally.check(sink.limits)
    sink.close()


def _through_ray(sink: Sink, tasks: int, batch: int) -> None:
    pools = start_pools(None, PoolSettings(), 1)
    started = time.perf_counter()
    data = from_tables(pa.table({"task": [task]}) for task in range(tasks))
    data = run_actors(run_tasks(data, _MakeStage(batch), pools), _PassStage(), pools, batch_size=batch, gpu=None)
    stream(data, EMBEDDINGS.empty_table(), sink)
    print(f"  of it in the chain, its start included: {time.perf_counter() - started:.1f} s")


@dataclass(frozen=True)
class _MakeStage:
    """Numbers of tasks in, rows out."""

    batch: int

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        for task in table["task"].to_pylist():
            yield from make(task, self.batch)


@dataclass(frozen=True)
class _PassStage(ActorStage):
    """Rows in, the same rows out."""

    def load(self) -> Callable[[pa.Table], pa.Table]:
        """Nothing to load."""
        return lambda batch: batch


def _ids(task: int) -> np.ndarray:
    return pack_digests(np.random.default_rng(task).bytes(16 * PER_TASK))


def make(task: int, batch: int) -> Iterator[pa.Table]:
    """Rows of embeddings, `batch` in a table; all of them differ but in their vectors, which a task repeats."""
    random, ids = np.random.default_rng(task), unpack(_ids(task))
    vectors = _vectors(random, batch)
    for start in range(0, PER_TASK, batch):
        some = ids[start : start + batch]
        named = {
            "segment_id": [identity[::-1] for identity in some],
            "source_id": some,
            "source_key": some,
            "source_uri": [f"s3://bucket/videos/{task:05d}/clip-{identity}.mp4" for identity in some],
            "source_name": [f"{task:05d}/clip-{identity}.mp4" for identity in some],
            "kind": ["video"] * len(some),
            "segment_index": [0] * len(some),
            "segment_count": [1] * len(some),
            "duration_s": [10.0] * len(some),
            "status": ["ok"] * len(some),
        }
        columns = [
            vectors[field.name].slice(0, len(some))
            if field.name in vectors
            else pa.array(named[field.name], field.type)
            if field.name in named
            else pa.nulls(len(some), field.type)
            for field in EMBEDDINGS
        ]
        yield pa.Table.from_arrays(columns, schema=EMBEDDINGS)


def _vectors(random: np.random.Generator, rows: int) -> dict[str, pa.Array]:
    frames = pa.array(random.standard_normal(rows * FRAMES * DIM).astype(np.float16))
    frames = pa.FixedSizeListArray.from_arrays(frames, DIM)
    sounds = pa.array(random.standard_normal(rows * DIM).astype(np.float32))
    return {
        "vision_frames": _lists(frames, rows, FRAMES).cast(EMBEDDINGS.field("vision_frames").type),
        "clap_embedding": _lists(sounds, rows, DIM).cast(EMBEDDINGS.field("clap_embedding").type),
    }


def _lists(values: pa.Array, rows: int, each: int) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(np.arange(rows + 1, dtype=np.int32) * each), values)


if __name__ == "__main__":
    main()
