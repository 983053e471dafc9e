"""How long a job will take, from a sample of its catalog that really goes through the chain."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypedDict

import pyarrow as pa
import pyarrow.compute as pc
import ray
from ray.data import Dataset

from workflows.cluster_runtime import connection
from workflows.cluster_runtime.pools import Pools
from workflows.streaming.plan import Planned

SAMPLE = 4  # sources; loading the models takes longer than they do
_PARTS = ("unet", "vae", "vocoder")  # of the stage `generate`, whose seconds hold theirs


class Estimate(TypedDict):
    """What a dry run says of time: seconds, for the whole plan."""

    sampled_sources: int
    rows_per_source: float
    start_s: float
    work_s: dict[str, float]
    seconds: float


def estimate(
    planned: Planned,
    chain: Callable[[Planned], Dataset],
    stage_columns: Mapping[str, str],
    pools: Pools,
) -> Estimate:
    """Measure a few sources, spread evenly over the plan, and extrapolate.

    What comes before the first row is measured too, and added once: Ray's start, its workers', loading the models.

    Args:
        planned: What the job would do.
        chain: The job's own chain, from a plan to finished rows.
        stage_columns: Maps a stage to the column with its seconds.
        pools: The workers the job would have.
    """
    step = max(1, len(planned) // SAMPLE)
    sample = planned[::step][:SAMPLE]
    seconds = dict.fromkeys(stage_columns, 0.0)
    rows, started, start_s = 0, time.monotonic(), 0.0
    batch: pa.Table
    for batch in chain(sample).iter_batches(batch_size=None, batch_format="pyarrow"):
        arrived_s = 0.0 if rows else time.monotonic() - started
        rows += batch.num_rows
        for stage, column in stage_columns.items():
            if column in batch.schema.names:
                seconds[stage] += pc.sum(batch[column]).as_py() or 0.0
        if arrived_s:
            start_s = connection.connect_seconds() + max(0.0, arrived_s - sum(seconds.values()))
    work_s = {stage: value / len(sample) * len(planned) for stage, value in seconds.items()}
    return {
        "sampled_sources": len(sample),
        "rows_per_source": round(rows / len(sample), 2),
        "start_s": round(start_s, 1),
        "work_s": {stage: round(value, 1) for stage, value in work_s.items()},
        "seconds": round(start_s + _wall_s(work_s, pools, ray.cluster_resources()), 1),
    }


def _wall_s(work_s: dict[str, float], pools: Pools, has: dict[str, float]) -> float:
    """Stages overlap: the slowest one decides, or, where all share the same cores, their sum."""
    work_s = {stage: value for stage, value in work_s.items() if stage not in _PARTS}
    decode = work_s.get("decode", 0.0) / pools.decode_tasks
    models = {stage: value / pools.actors for stage, value in work_s.items() if stage not in ("decode", "finish")}
    slowest = max([decode, work_s.get("finish", 0.0) / pools.decode_tasks, *models.values()])
    if has.get("GPU"):
        return slowest
    return max(slowest, sum(work_s.values()) / max(1.0, has.get("CPU", 1.0)))
