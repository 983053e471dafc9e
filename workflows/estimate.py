"""How long a job will take, from a sample of its catalog that really goes through the chain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow.compute as pc
import ray
from ray.data import Dataset

from workflows.pipeline import PlannedSource
from workflows.runtime import Pools

SAMPLE = 4  # sources; loading the models takes longer than they do


def estimate(
    planned: Sequence[PlannedSource],
    chain: Callable[[Sequence[PlannedSource]], Dataset],
    stage_columns: dict[str, str],
    pools: Pools,
) -> dict[str, Any]:
    """Measure a few sources, spread evenly over the plan, and extrapolate.

    The seconds are those that stages spend on rows; what loading the models takes comes on top, once.

    Args:
        planned: What the job would do.
        chain: The job's own chain, from a plan to finished rows.
        stage_columns: Maps a stage to the column with its seconds.
        pools: The workers the job would have.
    """
    step = max(1, len(planned) // SAMPLE)
    sample = planned[::step][:SAMPLE]
    seconds = dict.fromkeys(stage_columns, 0.0)
    rows = 0
    batch: Any
    for batch in chain(sample).iter_batches(batch_size=None, batch_format="pyarrow"):
        rows += batch.num_rows
        for stage, column in stage_columns.items():
            if column in batch.schema.names:
                seconds[stage] += pc.sum(batch[column]).as_py() or 0.0
    work_s = {stage: value / len(sample) * len(planned) for stage, value in seconds.items()}
    return {
        "sampled_sources": len(sample),
        "rows_per_source": round(rows / len(sample), 2),
        "work_s": {stage: round(value, 1) for stage, value in work_s.items()},
        "seconds": round(_wall_s(work_s, pools, ray.cluster_resources()), 1),
    }


def _wall_s(work_s: dict[str, float], pools: Pools, has: dict[str, float]) -> float:
    """Stages overlap: the slowest one decides, or, where all share the same cores, their sum."""
    decode = work_s.get("decode", 0.0) / pools.decode_tasks
    models = {stage: value / pools.actors for stage, value in work_s.items() if stage not in ("decode", "finish")}
    slowest = max([decode, work_s.get("finish", 0.0) / pools.decode_tasks, *models.values()])
    if has.get("GPU"):
        return slowest
    return max(slowest, sum(work_s.values()) / max(1.0, has.get("CPU", 1.0)))
