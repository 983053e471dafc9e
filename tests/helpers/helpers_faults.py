"""What befalls a job on a cluster: machines that go, storage that is away, full memory, a network that is cut."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from helpers_chaos import JOBS
from helpers_nodes import Node, cut, join
from helpers_processes import command_of
from helpers_ray_nodes import STORE_MIB, RayNodes

AWAY_S, CUT_S, FULL_S = 60.0, 30.0, 30.0
_FILLED = "the object stores are full"
# What is looked at cannot be moved to a disk: what others make finds no room until it is let go.
_FILL = f"""
import time
import numpy as np
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

ray.init(log_to_driver=False)

@ray.remote(num_cpus=0)
class Filler:
    def fill(self):
        self.references = [ray.put(np.ones(2**21)) for _ in range({STORE_MIB} // 16)]
        self.held = [ray.get(reference) for reference in self.references]

fillers = [Filler.options(scheduling_strategy=On(node["NodeID"], soft=False)).remote() for node in ray.nodes()]
ray.get([filler.fill.remote() for filler in fillers])
from ray._private.internal_api import memory_summary
print(memory_summary(stats_only=True), flush=True)
print("{_FILLED}", flush=True)
time.sleep({FULL_S})
"""


@dataclass
class Scene:
    """Where a fault strikes.

    Attributes:
        cluster: The machines that a job runs on.
        store: The machine that the bucket is on.
        draw: Chooses what the fault leaves open.
    """

    cluster: RayNodes
    store: Node
    draw: random.Random


@dataclass(frozen=True)
class Fault:
    """Something that befalls a job.

    Attributes:
        strike: Does it, and undoes what is to pass; returns what it chose.
        jobs: That it can befall.
        awaits: What must be at work, by a part of the name that Ray gives its process.
    """

    strike: Callable[[Scene], str]
    jobs: tuple[str, ...] = JOBS
    awaits: str = ""


def node_of(cluster: RayNodes, part: str) -> Node | None:
    """The worker on which something is at work."""
    return next((node for node in cluster.workers if any(part in name for name in _at_work(node))), None)


def _at_work(node: Node) -> list[str]:
    names = (command_of(pid) for pid in node.pids())
    return [name for name in names if name.startswith("ray::") and not name.startswith("ray::IDLE")]


def _worker_lost(scene: Scene) -> str:
    busy = [node for node in scene.cluster.workers if _at_work(node)]
    return _lose(scene, scene.draw.choice(busy or scene.cluster.workers))


def _gatherer_lost(scene: Scene) -> str:
    node = node_of(scene.cluster, _GATHERER)
    assert node is not None
    return _lose(scene, node)


def _lose(scene: Scene, node: Node) -> str:
    silent = scene.draw.random() < 0.5
    if silent:
        node.unplug()  # nothing tells the others that its connections are no more
    scene.cluster.lose(node)
    return f"{node.name}, {'without a word' if silent else 'its connections closed'}"


def _head_lost(scene: Scene) -> str:
    assert scene.cluster.head is not None
    return _lose(scene, scene.cluster.head)


def _storage_away(scene: Scene) -> str:
    silent = scene.draw.random() < 0.5
    nodes = scene.cluster.nodes
    if silent:
        scene.store.unplug()
    else:
        for node in nodes:
            node.refuse(scene.store)
    time.sleep(AWAY_S)
    if silent:
        scene.store.plug()
    else:
        for node in nodes:
            node.admit(scene.store)
    return "no answer" if silent else "connections refused"


def _store_full(scene: Scene) -> str:
    head = scene.cluster.head
    assert head is not None
    log = head.folder / "filler.log"
    filler = head.start([sys.executable, "-c", _FILL], log, **scene.cluster.environment)
    deadline = time.monotonic() + 120
    while _FILLED not in log.read_text(errors="replace"):
        assert filler.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.2)
    try:
        filler.wait(FULL_S + 30)
    except subprocess.TimeoutExpired:
        filler.kill()
    return f"{STORE_MIB} MiB on each of {len(scene.cluster.nodes)} machines"


def _network_cut(scene: Scene) -> str:
    one, other = scene.draw.sample(scene.cluster.nodes, 2)
    cut(one, other)
    time.sleep(CUT_S)
    join(one, other)
    return f"between {one.name} and {other.name}"


_GATHERER = "GatherStage"
FAULTS = {
    "a worker node is lost": Fault(_worker_lost),
    "the node that gathers is lost": Fault(_gatherer_lost, ("generate",), _GATHERER),
    "the head is lost": Fault(_head_lost),
    f"storage is away for {AWAY_S:.0f} s": Fault(_storage_away),
    f"the object store is full for {FULL_S:.0f} s": Fault(_store_full),
    f"the network is cut for {CUT_S:.0f} s": Fault(_network_cut),
}
