"""A plan as text: each line says where its figures are from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from workflows.costing.config import ClusterFile
from workflows.costing.forecast import GB, GIB, Forecast, Task
from workflows.costing.mix import Mix, Wish

_MEASURED, _FILE, _DERIVED = "measured", "cluster file", "derived"
_BUSY = 2.0  # times its processor time that decoding took
_SHOWN = 4  # bounds


def lines(task: Task, cluster: ClusterFile, wish: Wish, mix: Mix, sampled_of: int) -> Iterator[str]:
    """The plan.

    Args:
        task: What was asked.
        cluster: The file.
        wish: By which the mix was chosen.
        mix: What was found.
        sampled_of: Sources of the catalog from which the sample is.
    """
    work = task.work
    yield f"{work.job}: {task.sources:,} sources, {task.sources * work.rows:,.0f} rows"
    machine = f"{work.cores:g} CPUs{' with GPUs' if work.on_gpus else ''}"
    yield f"  sample: {work.sources} sources of {sampled_of:,}, {machine} [{_MEASURED}]"
    for stage in work.stages:
        yield (
            f"  {stage.name:14} {stage.wall_s:.3f} s a source in a worker, {stage.core_s:.3f} s of a CPU, "
            f"{stage.bytes_out / 1e6:.2f} MB on [{_MEASURED}]"
        )
    yield (
        f"  a source has {work.bytes_in / 1e6:.2f} MB [{_MEASURED}] and leaves {work.bytes_out / 1e6:.3f} MB "
        f"[{_MEASURED}]; {work.gets:.1f} GET and {work.puts:.1f} PUT, were it on S3 [{_DERIVED}]"
    )
    yield from _doubts(task)
    yield from _chosen(task, cluster, wish, mix)


def _doubts(task: Task) -> Iterator[str]:
    for stage in task.work.stages:
        if task.work.fetched and stage.kind == "decode" and stage.wall_s > _BUSY * stage.core_s:
            share = 1 - stage.core_s / stage.wall_s
            yield (
                f"  note: {stage.name} waited {share:.0%} of its time, for storage, or for other work on this machine: "
                "if for that, measure again when it is quiet"
            )
    if not task.work.files_seen:
        yield "  note: only parts of the output are counted: its other files were written by other machines"
    if task.sources > 100 * task.work.sources:
        yield f"  note: {task.work.sources} sources stand for {task.sources:,}: a larger --sample is surer"


def _chosen(task: Task, cluster: ClusterFile, wish: Wish, mix: Mix) -> Iterator[str]:
    best = mix.best
    if best is None:
        yield f"no mix of these pools meets {_wished(wish, cluster)} (tried: {mix.tried:,})"
        yield from _mix("fastest, whatever it costs", mix.fastest, task, cluster)
        if mix.cheapest != mix.fastest:
            yield from _mix("cheapest, however long it takes", mix.cheapest, task, cluster)
        return
    chosen = f"{_by(wish)} of {mix.tried:,} mixes of nodes" if mix.tried > 1 else "on these nodes"
    yield from _mix(f"{chosen} {_wished(wish, cluster)}".strip(), best, task, cluster)


def _by(wish: Wish) -> str:
    return "fastest" if wish.budget is not None and wish.deadline_s is None else "cheapest"


def _wished(wish: Wish, cluster: ClusterFile) -> str:
    said = []
    if wish.deadline_s is not None:
        said.append(f"within {duration(wish.deadline_s)}")
    if wish.budget is not None:
        said.append(f"for at most {wish.budget:,.2f} {cluster.currency}")
    return " and ".join(said)


def _mix(title: str, made: Forecast, task: Task, cluster: ClusterFile) -> Iterator[str]:
    work, money = task.work, made.money
    yield f"{title}:"
    yield f"  nodes: {nodes(made.nodes, cluster)} [{_FILE}]"
    stream_s = made.bounds[made.bottleneck]
    yield (
        f"  time: {duration(made.seconds)}: start {duration(made.start_s)} [{_MEASURED} here], listing and planning "
        f"{duration(made.list_s)} [assumed: bounds], stream {duration(stream_s)}, last block {duration(made.tail_s)}"
    )
    yield f"  bottleneck: {made.bottleneck}; {_bounds(made, work.on_gpus)}"
    yield f"  workers: {made.decode_tasks} decode tasks, {made.actors} actors of each model, {task.blocks:,} blocks"
    idle = ", ".join(f"{name} {share:.0%}" for name, share in made.idle.items())
    yield f"  idle: {idle}; all CPUs {made.cpu_idle:.0%}{_gpus(made)} [{_DERIVED}]"
    yield (
        f"  money: {money.total:,.2f} {cluster.currency}: nodes {money.machines:,.2f}, requests {money.requests:,.2f}, "
        f"storage {money.storage:,.2f} ({cluster.prices.storage_months:g} months), egress {money.egress:,.2f} "
        f"[prices: {_FILE}{f' of {cluster.as_of}' if cluster.as_of else ', without a date'}]"
    )
    moved = made.traffic
    yield f"  requests: {moved.gets:,.0f} reads, {moved.puts:,.0f} writes and lists [{_DERIVED}, as on S3]"
    read, written = moved.read_bytes / GB, moved.written_bytes / GB
    yield f"  storage: reads {read:,.2f} GB, writes {written:,.2f} GB [{_MEASURED} a source]"
    yield from _nodes_memory(made, cluster)
    yield f"  head: {made.head_bytes / GIB:,.1f} GiB of memory [assumed: bounds]{_head(made, cluster)}"


def _bounds(made: Forecast, on_gpus: bool) -> str:
    shown = ", ".join(f"{name} {duration(seconds)}" for name, seconds in list(made.bounds.items())[:_SHOWN])
    speeds = "" if on_gpus or "GPUs" not in made.bounds else "; models on a GPU: measured on CPUs, times your gpu_speed"
    return f"alone they would take: {shown} [{_MEASURED} / your speeds; commit, executor, requests assumed{speeds}]"


def _gpus(made: Forecast) -> str:
    return "" if made.gpu_idle is None else f", all GPUs {made.gpu_idle:.0%}"


def _nodes_memory(made: Forecast, cluster: ClusterFile) -> Iterator[str]:
    """What a node needs, where its workers were seen: those of a sample on other machines are not."""
    for name, needed in made.node_bytes.items():
        has = cluster.pools[name].memory_gib
        if needed:
            more = has is not None and needed > has * GIB
            yield (
                f"  memory of {name}: {needed / GIB:,.1f} GiB a node if its workers are as large as here [{_MEASURED}]"
                + (f": more than its {has:g} GiB; set pools.decode_tasks, or take larger nodes" if more else "")
            )


def _head(made: Forecast, cluster: ClusterFile) -> str:
    has = cluster.head.memory_gib
    if has is None or made.head_bytes <= has * GIB:
        return ""
    return f": more than the {has:g} GiB of your head: divide the catalog, or take a larger one"


def nodes(counts: Mapping[str, int], cluster: ClusterFile) -> str:
    """Nodes of each pool, in words."""
    said: Sequence[str] = [
        f"{count} x {name}{f' ({kind})' if (kind := _kind(cluster, name)) else ''}"
        for name, count in counts.items()
        if count
    ]
    return ", ".join(said)


def _kind(cluster: ClusterFile, name: str) -> str:
    pool = cluster.pools[name]
    return ", ".join(filter(None, [pool.instance, "spot" if pool.spot else ""]))


def duration(seconds: float) -> str:
    """For people: `12.3 s`, `14 min`, `3.2 h`, `2.5 days`."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"
