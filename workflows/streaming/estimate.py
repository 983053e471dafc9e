"""How long a job will take here: a sample that really goes through the chain, and the model of `workflows.costing`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np

from workflows.cluster_runtime.config import PoolSettings
from workflows.cluster_runtime.pools import machines_of_cluster
from workflows.costing.config import ClusterFile, NodePool
from workflows.costing.forecast import Task, forecast
from workflows.costing.work import Work
from workflows.streaming.blocks import Blocks
from workflows.streaming.plan import Planned

SAMPLE = 4  # sources of a dry run; loading the models takes longer than they do


class Estimate(TypedDict):
    """What a dry run says of time: seconds, for the whole plan."""

    sampled_sources: int
    rows_per_source: float
    start_s: float
    work_s: dict[str, float]
    bottleneck: str
    seconds: float


def spread(planned: Planned, sources: int) -> Planned:
    """So many sources, spread evenly over a plan."""
    count = min(sources, len(planned))
    chosen = np.zeros(len(planned), bool)
    chosen[np.arange(count) * len(planned) // max(1, count)] = True
    return planned.where(chosen)


def estimate(work: Work, sources: int, settings: PoolSettings, blocks: Blocks) -> Estimate:
    """What a sample says of the whole plan, on the cluster that Ray is connected to.

    Args:
        work: What was measured.
        sources: Of the plan.
        settings: What the job wishes for its workers.
        blocks: How large a block of the plan is.
    """
    task = Task(work, sources, blocks.typical(sources, work.bytes_in), settings)
    cluster = cluster_here(machines_of_cluster())
    made = forecast(task, cluster, {name: pool.least for name, pool in cluster.pools.items()})
    return {
        "sampled_sources": work.sources,
        "rows_per_source": round(work.rows, 2),
        "start_s": round(made.start_s, 1),
        "work_s": {stage.name: round(stage.core_s * sources, 1) for stage in work.stages},
        "bottleneck": made.bottleneck,
        "seconds": round(made.seconds, 1),
    }


def cluster_here(machines: Sequence[Mapping[str, float]]) -> ClusterFile:
    """The machines that measured, as a cluster file has them: free of charge, and as fast as they are."""
    kinds = Counter((max(1, int(machine["CPU"])), int(machine.get("GPU", 0))) for machine in machines)
    pools = {
        f"{cpus} CPUs, {gpus} GPUs": NodePool(count=count, cpus=cpus, gpus=gpus, price_per_hour=0.0, gpu_speed=1.0)
        for (cpus, gpus), count in kinds.items()
    }
    return ClusterFile(pools=pools)
