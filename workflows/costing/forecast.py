"""Time and money of a job on some nodes.

    T = start + listing + planning + max(a block, decode, cores, GPUs, commit, executor, network, requests) + tail
    money = nodes x T x price + requests + storage + egress

Stages overlap, so the slowest of what bounds them decides; the tail is half of the last block, in which workers wait
for one another. A spot node counts only for the time in which it does lasting work (`capacity`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from v2a_core.config import ConfigError
from v2a_core.protocols import JSON
from workflows.cluster_runtime.config import PoolSettings
from workflows.costing.capacity import HOUR_S, Capacity, capacity
from workflows.costing.config import ClusterFile
from workflows.costing.work import Work

LIST_PAGE = 1000  # entries that S3 lists in a request
GB, GIB = 1e9, 2.0**30
STORE_SHARE = 0.3  # of a node's memory, which Ray takes for its store of objects
_PUTS_PER_PART, _PART_BYTES = 12, 256e6  # a multipart upload in pieces, its begin and end, and looks before it


@dataclass(frozen=True)
class Task:
    """What is asked: a job on a catalog.

    Attributes:
        work: What a source takes.
        sources: How many there are to do.
        sources_per_block: Of a decode task.
        settings: What the job wishes for its workers.
    """

    work: Work
    sources: int
    sources_per_block: int
    settings: PoolSettings

    @property
    def blocks(self) -> int:
        """Decode tasks of the run."""
        return -(-self.sources // self.sources_per_block)


@dataclass(frozen=True)
class Traffic:
    """Requests, were the catalog and the output on S3, and bytes.

    Attributes:
        gets: Reads.
        puts: Writes and lists.
        read_bytes: Of the catalog.
        written_bytes: Of the output.
    """

    gets: float
    puts: float
    read_bytes: float
    written_bytes: float


@dataclass(frozen=True)
class Money:
    """In the currency of the cluster file."""

    machines: float
    requests: float
    storage: float
    egress: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.machines + self.requests + self.storage + self.egress


@dataclass(frozen=True)
class Forecast:
    """What a run takes on some nodes.

    Attributes:
        nodes: Of each pool.
        seconds: From the command to its end.
        start_s, list_s, tail_s: Parts of it; the rest is `bounds` of the bottleneck.
        bounds: What the stream of sources would take if it were bound by that alone, seconds; the longest first.
        cpu_idle: Share of the CPUs' time in which nothing is computed.
        gpu_idle: The same of GPUs; None without.
        idle: For each pool, the share of what is paid for it in which its dearest part (GPUs, else CPUs) is idle.
        decode_tasks, actors: The layout: decode tasks at once, actors of each model stage.
        traffic: To the storage and from it.
        head_bytes: Memory of the head node.
        node_bytes: Memory of a node of each pool that is used: workers, actors, and Ray's store of objects.
        money: What it costs.
    """

    nodes: Mapping[str, int]
    seconds: float
    start_s: float
    list_s: float
    tail_s: float
    bounds: Mapping[str, float]
    cpu_idle: float
    gpu_idle: float | None
    idle: Mapping[str, float]
    decode_tasks: int
    actors: int
    traffic: Traffic
    head_bytes: float
    node_bytes: Mapping[str, float]
    money: Money

    @property
    def bottleneck(self) -> str:
        """What decides how long the stream of sources takes."""
        return next(iter(self.bounds))

    def to_dict(self) -> dict[str, JSON]:
        """As JSON."""
        values: dict[str, JSON] = dataclasses.asdict(self)
        money = {**dataclasses.asdict(self.money), "total": self.money.total}
        return {**values, "bottleneck": self.bottleneck, "money": money}


def forecast(task: Task, cluster: ClusterFile, nodes: Mapping[str, int]) -> Forecast:
    """What a job takes on so many nodes of each pool.

    Raises:
        ConfigError: When the nodes cannot run it, or nothing is known of how they would.
    """
    work, count, rates = task.work, task.sources, cluster.bounds
    block_s = _longest_s(task)
    able = capacity(cluster, nodes, task.settings, work.model_stages, block_s)
    if work.on_gpus and not able.has_gpus:
        raise ConfigError(
            "the sample was measured with its models on a GPU, and these nodes have none: nothing says how fast their "
            "CPUs are. Measure on a machine without a GPU (CUDA_VISIBLE_DEVICES=), or give a pool with GPUs"
        )
    bounds = _bounds(task, able, cluster)
    list_s = count / rates.list_per_s + count * rates.plan_s_per_source
    # When there is nothing left to begin, a worker is on average in the middle of a block.
    tail_s = block_s / 2 if task.blocks > able.layout.decode_tasks else 0.0
    seconds = work.start_s + list_s + max(bounds.values()) + tail_s
    cpu_idle = 1 - min(1.0, _core_s(task, able, cluster) / (able.cores * seconds))
    gpu_idle = 1 - min(1.0, count * work.busy_s("model") / (able.gpus * seconds)) if able.has_gpus else None
    return Forecast(
        nodes={name: nodes[name] for name in cluster.pools},
        seconds=seconds,
        start_s=work.start_s,
        list_s=list_s,
        tail_s=tail_s,
        bounds=dict(sorted(bounds.items(), key=lambda item: -item[1])),
        cpu_idle=cpu_idle,
        gpu_idle=gpu_idle,
        idle=_idle(cluster, nodes, cpu_idle, gpu_idle),
        decode_tasks=able.layout.decode_tasks,
        actors=able.layout.actors,
        traffic=traffic(task),
        head_bytes=rates.head_base_gib * GIB + count * rates.head_bytes_per_source,
        node_bytes={name: _node_bytes(work, *workers) for name, workers in able.workers.items()},
        money=_money(cluster, nodes, seconds, traffic(task)),
    )


def traffic(task: Task) -> Traffic:
    """What goes to the storage and comes from it, whatever the nodes."""
    work, count = task.work, task.sources
    written = count * work.bytes_out
    parts, pages = -(-written // _PART_BYTES), -(-count // LIST_PAGE)
    puts = count * work.puts + _PUTS_PER_PART * parts + pages
    return Traffic(count * work.gets, puts, count * work.bytes_in, written)


def _node_bytes(work: Work, tasks: int, actors: int) -> float:
    return (tasks * work.worker_bytes + actors * work.actor_bytes) / (1 - STORE_SHARE)


def _core_s(task: Task, able: Capacity, cluster: ClusterFile) -> float:
    """Processor seconds of the run on the CPUs: those of the models, too, where there are no GPUs, and Ray's own."""
    ray_s = _block_stages(task) * cluster.bounds.ray_core_s_per_block
    return task.sources * task.work.core_s(models=not able.has_gpus) + ray_s


def _block_stages(task: Task) -> int:
    return task.blocks * len(task.work.stages)


def _bounds(task: Task, able: Capacity, cluster: ClusterFile) -> dict[str, float]:
    """Seconds of the stream by what bounds it."""
    work, count, rates = task.work, task.sources, cluster.bounds
    bounds = {
        "one block": _longest_s(task),
        "decode slots": count * work.busy_s("decode") / able.slots,
        "CPU cores": _core_s(task, able, cluster) / able.cores,
        "commit (one writer)": count * work.rows / rates.commit_rows_per_s,
        "executor (driver)": _block_stages(task) * rates.executor_s_per_block,
        "storage requests": count * work.gets / rates.requests_per_s,
    }
    if able.has_gpus:
        bounds["GPUs"] = count * work.busy_s("model") / able.gpus
    if able.gbps is not None:
        bounds["network"] = count * (work.bytes_in + work.bytes_out) * 8 / (able.gbps * 1e9)
    return bounds


def _longest_s(task: Task) -> float:
    """A block from its decoding to its files, on a CPU as fast as the measuring one: nothing is done sooner."""
    one_s = task.work.busy_s("decode") + task.work.busy_s("other")
    return min(task.sources_per_block, task.sources) * one_s


def _idle(cluster: ClusterFile, nodes: Mapping[str, int], cpu_idle: float, gpu_idle: float | None) -> dict[str, float]:
    dearest = {
        name: cpu_idle if not pool.gpus or gpu_idle is None else gpu_idle for name, pool in cluster.pools.items()
    }
    return {name: idle for name, idle in dearest.items() if nodes[name]}


def _money(cluster: ClusterFile, nodes: Mapping[str, int], seconds: float, moved: Traffic) -> Money:
    prices = cluster.prices
    hourly = sum(nodes[name] * pool.price_per_hour for name, pool in cluster.pools.items())
    return Money(
        machines=(hourly + cluster.head.price_per_hour) * seconds / HOUR_S,
        requests=(moved.gets * prices.get_per_million + moved.puts * prices.put_per_million) / 1e6,
        storage=moved.written_bytes / GB * prices.storage_per_gb_month * prices.storage_months,
        egress=moved.read_bytes / GB * prices.egress_per_gb,
    )
