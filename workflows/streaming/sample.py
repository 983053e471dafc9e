"""What a source of a job takes, from a few that really go through the job's chain.

They go twice: the first ones on all workers, as a run begins, which says what comes before the first source; then the
others, a decode task at a time, so that what is measured of a stage is its own. Ray notes the seconds of each stage;
what the decoder computes in its process beside the worker is read from Linux.
"""

from __future__ import annotations

import dataclasses
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray
from ray.data import Dataset

from v2a_core import storage
from v2a_core.compute.family import Relative, descendants
from v2a_core.outputs.manifest import FILE_NAME
from v2a_core.outputs.parts import write_part
from v2a_core.tables.rows import stamped
from workflows.cluster_runtime.pools import Pools
from workflows.costing.work import Kind, Stage, Work, gets_of
from workflows.streaming.job import Rows
from workflows.streaming.plan import Planned
from workflows.streaming.stages import ActorStage

# What processes call themselves: the one that decodes, an actor of Ray Data, any worker of Ray.
_DECODER, _ACTOR, _WORKER = "v2a_core.media.worker", "ray::MapWorker", "ray::"
_STAGE = re.compile(r"MapBatches\((\w+)\)")
# The decoder works for these; what it computes is shared out by the time that they wait for it.
_DECODING = ("DecodeStage", "ReadStage", "FinishStage")


@dataclass(frozen=True)
class Sampled:
    """What is sampled.

    Attributes:
        name: The job's.
        chain: From a plan, an output and the workers to rows.
        rows: What the job writes.
        pools: The workers that it would have.
        model_stages: Of its chain.
    """

    name: str
    chain: Callable[[Planned, str, Pools], Dataset]
    rows: Rows
    pools: Pools
    model_stages: int


@dataclass(frozen=True)
class _Passed:
    """What went through a chain."""

    rows: pa.Table
    operators: Sequence[Any]  # Ray's `OperatorStatsSummary`
    decoder_s: float
    family: Sequence[Relative]  # when the first rows had come


def measure(planned: Planned, sampled: Sampled, before_s: float = 0.0) -> Work:
    """Measure what a source takes.

    Args:
        planned: The sample.
        sampled: The job.
        before_s: What the command has taken so far.
    """
    started = time.monotonic()
    few = max(1, len(planned) // 4)
    first, rest = planned[:few], planned[few:] or planned
    # A source a block: decoders are there already, and no block of the sample is larger than a run's.
    alone = dataclasses.replace(sampled.pools, decode_tasks=1, sources_per_block=1)
    with _output() as output:
        began = _pass(sampled.chain(first, output, sampled.pools))
        begun_s = before_s + time.monotonic() - started
        before = _Files.of(output)
        passed = _pass(sampled.chain(rest, output, alone))
        made = _Files.of(output)
        part_bytes = _part_bytes(passed.rows, sampled.rows)
    stages, cores = _stages(passed, len(rest)), ray.cluster_resources().get("CPU", 1.0)
    sizes = [item.source.size for item in planned]
    return Work(
        job=sampled.name,
        sources=len(planned),
        rows=passed.rows.num_rows / len(rest),
        stages=stages,
        start_s=max(0.0, begun_s - _alone_s(stages, len(first), cores)),
        bytes_in=_bytes_in(sizes, passed.rows) / len(sizes if sum(sizes) else rest),
        bytes_out=(part_bytes + made.size - before.size) / len(rest),
        gets=gets_of(sizes),
        puts=(made.count - before.count) / len(rest),
        files_seen=storage.is_local(output),
        model_stages=sampled.model_stages,
        on_gpus=bool(sampled.pools.main_gpus),
        cores=cores,
        actor_bytes=_actor_bytes(began.family, sampled.pools.actors),
        worker_bytes=_worker_bytes(began.family),
        fetched=any(not storage.is_local(item.source.shard_uri or item.source.uri) for item in planned),
    )


def _bytes_in(sizes: Sequence[int], rows: pa.Table) -> float:
    """Bytes of sources: as they were listed, or, where a listing knows none, as they were fetched."""
    if sum(sizes) or "bytes_read" not in rows.column_names:
        return sum(sizes)
    return float(pc.sum(rows["bytes_read"]).as_py() or 0)


def _alone_s(stages: Sequence[Stage], sources: int, cores: float) -> float:
    """What the sources of the first pass took beside the start: they were few, and went from stage to stage."""
    return sources * sum(max(stage.core_s / cores, stage.core_s / min(cores, sources)) for stage in stages)


@contextmanager
def _output() -> Iterator[str]:
    """Where files of the sample go: on this machine, when all workers are here; else into their memory."""
    if len([node for node in ray.nodes() if node["Alive"]]) > 1:
        yield "memory://v2a-sample"
        return
    with tempfile.TemporaryDirectory(prefix="v2a-sample-") as folder:
        storage.write_bytes(storage.join(folder, FILE_NAME), b"{}")  # as an output has it that was claimed
        yield folder


def _pass(data: Dataset) -> _Passed:
    before = _decoders_s(descendants(os.getpid()))
    batches: list[pa.Table] = []
    family: list[Relative] = []
    for batch in data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        batches.append(batch)
        family = family or list(descendants(os.getpid()).values())
    after = _decoders_s(descendants(os.getpid()))
    # A decoder that was started meanwhile has also loaded what it needs: as long as the least busy of the others.
    load_s = min(before.values(), default=0.0)
    decoder_s = sum(spent - before.get(pid, min(load_s, spent)) for pid, spent in after.items())
    wide = [batch for batch in batches if batch.num_rows]
    rows = pa.concat_tables(wide, promote_options="permissive") if wide else pa.table({})
    return _Passed(rows, _operators(data.get_stats_summary()), decoder_s, family)


def _decoders_s(family: Mapping[int, Relative]) -> dict[int, float]:
    return {pid: relative.cpu_s for pid, relative in family.items() if _DECODER in relative.command}


def _actor_bytes(family: Sequence[Relative], actors: int) -> float:
    """Memory of one actor of each stage, together."""
    return sum(relative.resident_bytes for relative in family if relative.command.startswith(_ACTOR)) / actors


def _worker_bytes(family: Sequence[Relative]) -> float:
    """Memory of a worker of tasks with its decoder, the largest of each."""
    decoders = [relative.resident_bytes for relative in family if _DECODER in relative.command]
    workers = [
        relative.resident_bytes
        for relative in family
        if relative.command.startswith(f"{_WORKER}MapBatches") or relative.command.startswith(f"{_WORKER}IDLE")
    ]
    return max(decoders, default=0) + max(workers, default=0)


def _operators(summary: Any) -> list[Any]:
    """Of all steps of a chain, the first ones first."""
    before = [found for parent in summary.parents or [] for found in _operators(parent)]
    return [*before, *summary.operators_stats]


def _stages(passed: _Passed, sources: int) -> tuple[Stage, ...]:
    models = _model_stages()
    waits: dict[str, float] = {}
    found = []
    for operator in passed.operators:
        name = match[1] if (match := _STAGE.search(operator.operator_name)) else operator.operator_name
        wall, core, size = (_sum(operator, key) for key in ("wall_time", "cpu_time", "output_size_bytes"))
        if wall:
            found.append((name, wall, core, size))
            if name in _DECODING:
                waits[name] = max(0.0, wall - core)
    waited = sum(waits.values()) or 1.0
    stages = []
    for name, wall, core, size in found:
        beside = passed.decoder_s * waits.get(name, 0.0) / waited
        kind: Kind = "decode" if name in ("DecodeStage", "ReadStage") else "model" if name in models else "other"
        # Elsewhere than on this machine nobody knows what the decoder computed: all that its worker waited for.
        core = core + beside if passed.decoder_s or name not in _DECODING else wall
        stages.append(Stage(name, kind, wall / sources, core / sources, size / sources))
    return tuple(stages)


def _sum(operator: Any, key: str) -> float:
    found = getattr(operator, key)
    return float(found.sum) if found is not None else 0.0


def _model_stages() -> set[str]:
    """The names of the stages whose actors hold a model: those that prepare their process for one."""
    found, waiting = set(), ActorStage.__subclasses__()
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.prepare is ActorStage.prepare:
            found.add(kind.__name__)
    return found


def _part_bytes(table: pa.Table, rows: Rows) -> int:
    """What these rows are as a part of the output."""
    if not table.num_rows:
        return 0
    with tempfile.TemporaryDirectory(prefix="v2a-part-") as folder:
        name = write_part(folder, stamped(table, rows.schema), time.time_ns())
        return (Path(folder) / name).stat().st_size


@dataclass(frozen=True)
class _Files:
    """Files of the sample's output."""

    count: int
    size: int

    @classmethod
    def of(cls, output: str) -> _Files:
        """Those that are there now; none, when it is not on this machine."""
        if not storage.is_local(output):
            return cls(0, 0)
        files = [path for path in Path(output).rglob("*") if path.is_file() and path.name != FILE_NAME]
        return cls(len(files), sum(path.stat().st_size for path in files))
