"""What some nodes of each pool can do together, laid out as the jobs lay themselves out."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workflows.cluster_runtime.config import PoolSettings
from workflows.cluster_runtime.pools import Pools, lay_out
from workflows.costing.config import ClusterFile, NodePool

HOUR_S = 3600.0


@dataclass(frozen=True)
class Capacity:
    """Machines as the model sees them. A spot node counts for the share of its time in which it does lasting work.

    Attributes:
        layout: Workers of each stage, as a job on these machines would have.
        slots: Decode tasks at once, each counted by the speed of its CPU.
        cores: CPUs, each counted by its speed.
        gpus: GPUs, each counted by its speed.
        gbps: Of all nodes to the storage; None: no limit is known.
        workers: For each pool, decode tasks and actors of each model stage on a node, at most.
    """

    layout: Pools
    slots: float
    cores: float
    gpus: float
    gbps: float | None
    workers: Mapping[str, tuple[int, int]]

    @property
    def has_gpus(self) -> bool:
        """Whether models run on GPUs."""
        return self.gpus > 0


def capacity(
    cluster: ClusterFile, counts: Mapping[str, int], settings: PoolSettings, model_stages: int, block_s: float
) -> Capacity:
    """What so many nodes of each pool can do.

    Args:
        cluster: The pools.
        counts: Nodes of each.
        settings: What the job wishes for its workers.
        model_stages: Of the job.
        block_s: What is lost with a node, on average, beside the time until there is another.

    Raises:
        ConfigError: When the job could not be laid out on them.
    """
    used = [(pool, counts[name]) for name, pool in cluster.pools.items() if counts[name]]
    layout = _layout(settings, model_stages, tuple((pool.cpus, pool.gpus, count) for pool, count in used))
    lasting = [(pool, count * lasting_share(pool, block_s, cluster.bounds.restart_s)) for pool, count in used]
    known = [pool.network_gbps * count for pool, count in lasting if pool.network_gbps is not None]
    # Decoding has the CPUs that model actors leave; these are on GPU nodes, where there are some.
    free = [max(0.0, pool.cpus - model_stages * _actors(pool, used) * layout.actor_cpus) for pool, _ in used]
    there = sum(cpus * count for cpus, (_, count) in zip(free, used, strict=True))
    able = sum(cpus * pool.cpu_speed * count for cpus, (pool, count) in zip(free, lasting, strict=True))
    return Capacity(
        layout=layout,
        slots=layout.decode_tasks * (able / there if there else 1.0),
        cores=sum(pool.cpus * pool.cpu_speed * count for pool, count in lasting),
        gpus=sum(pool.gpus * (pool.gpu_speed or 0.0) * count for pool, count in lasting),
        gbps=sum(known) if len(known) == len(used) else None,
        workers={
            name: (min(layout.decode_tasks, int(pool.cpus / layout.decode_cpus)), _actors(pool, used))
            for name, pool in cluster.pools.items()
            if counts[name]
        },
    )


def _actors(pool: NodePool, used: Sequence[tuple[NodePool, int]]) -> int:
    """Of each model stage, on a node of a pool."""
    return pool.gpus if any(other.gpus for other, _ in used) else 1


def lasting_share(pool: NodePool, block_s: float, restart_s: float) -> float:
    """The share of a node's time whose work is not lost: each interruption costs half a block and the restart."""
    lost_s = block_s / 2 + restart_s
    return 1 / (1 + pool.interruptions_per_hour * lost_s / HOUR_S)


@functools.lru_cache(maxsize=4096)
def _layout(settings: PoolSettings, model_stages: int, nodes: tuple[tuple[int, int, int], ...]) -> Pools:
    machines = [{"CPU": float(cpus), "GPU": float(gpus)} for cpus, gpus, count in nodes for _ in range(count)]
    return lay_out(settings, model_stages, machines)
