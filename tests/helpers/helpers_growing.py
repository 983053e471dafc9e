"""A cluster that grows and shrinks by itself: Ray's own autoscaler with machines that are processes here.

python helpers_growing.py ROWS [lose]    # in a process namespace of its own: its cluster ends every Ray that it can see
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider
from ray.cluster_utils import AutoscalingCluster

from workflows.cluster_runtime.config import PoolSettings
from workflows.cluster_runtime.pools import prepare_data
from workflows.streaming.plan import from_tables
from workflows.streaming.stages import ActorStage, run_actors

WORK_S = 1.0
MACHINE = {"CPU": 4, "GPU": 1, "object_store_memory": 200 * 2**20}
# What `ray up` would fill in of a cluster's file: nothing is copied or set up here.
NO_MAPS = ("auth", "docker", "file_mounts", "head_node", "worker_nodes")
NO_LISTS = (
    *("cluster_synced_files", "rsync_exclude", "rsync_filter", "initialization_commands", "setup_commands"),
    *("head_setup_commands", "worker_setup_commands", "head_start_ray_commands", "worker_start_ray_commands"),
)


class Machines(FakeMultiNodeProvider):
    """Ray's machines that are processes; as a cloud does, it tells no more of one that has ended."""

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        """Ids of those that are there."""
        for name in super().non_terminated_nodes({}):
            machine = self._nodes[name].get("node")
            if machine is not None and "raylet" in {kind for kind, _ in machine.dead_processes()}:
                self.terminate_node(name)
        found: list[str] = super().non_terminated_nodes(tag_filters)
        return found


class GrowingCluster(AutoscalingCluster):
    """Machines with a GPU, from one to `most`; one that has nothing to do for `idle_s` goes."""

    def __init__(self, most: int, idle_s: float) -> None:
        machine = {"resources": MACHINE, "node_config": {}, "min_workers": 1, "max_workers": most}
        super().__init__({"CPU": 1}, {"gpu": machine}, idle_timeout_minutes=idle_s / 60)

    def _generate_config(self, head_resources: Any, worker_node_types: Any, **more: Any) -> dict[str, Any]:
        """As Ray's class does from a file that its wheels lack."""
        more.pop("autoscaler_v2", None)
        head = {"resources": dict(head_resources), "node_config": {}, "max_workers": 0}
        provider = {"type": "external", "module": "helpers_growing.Machines", "use_node_id_as_ip": True}
        provider |= {"disable_node_updaters": True, "disable_launch_config_check": True}
        return {
            "cluster_name": "growing",
            "max_workers": 8,
            "upscaling_speed": 9.0,
            "provider": provider,
            "head_node_type": "ray.head.default",
            "available_node_types": {**worker_node_types, "ray.head.default": head},
            "file_mounts_sync_continuously": False,
            **{name: {} for name in NO_MAPS},
            **{name: [] for name in NO_LISTS},
            **more,
        }


@dataclass(frozen=True)
class Generator(ActorStage):
    """Takes a second a row, and says where and when."""

    def prepare(self, worker: Any) -> None:
        """Nothing: it holds no model."""

    def load(self) -> Any:
        """What works on a row."""
        place = ray.get_runtime_context().get_node_id()

        def work(batch: pa.Table) -> pa.Table:
            began = time.time()
            time.sleep(WORK_S)
            batch = batch.append_column("place", pa.array([place] * len(batch)))
            return batch.append_column("began", pa.array([began] * len(batch)))

        return work


def work(rows: int, settings: PoolSettings) -> dict[str, list[Any]]:
    """What a chain of one stage made of so many rows: number, place, began."""
    pools = prepare_data(settings, 1)
    data = from_tables(pa.table({"number": [number]}) for number in range(rows))
    found: dict[str, list[Any]] = (
        run_actors(data, Generator(), pools, batch_size=1, cpus=0.1).to_pandas().to_dict("list")
    )
    return found


def gpus(at_least: int, at_most: int, within_s: float) -> int:
    """The GPUs of the cluster, when they are so many, or time is up."""
    end = time.monotonic() + within_s
    while True:
        there = int(ray.cluster_resources().get("GPU", 0))
        if at_least <= there <= at_most or time.monotonic() > end:
            return there
        time.sleep(0.5)


def lose_one() -> str:
    """End the first machine, at once and for good, when there is another one; its id."""
    gpus(2, 9, 120.0)
    there = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU")]
    machine = min(there, key=lambda node: str(node["NodeID"]))  # they are numbered
    socket = machine["RayletSocketName"]
    for place in Path("/proc").glob("[0-9]*"):
        words = (place / "cmdline").read_bytes().decode(errors="replace").split("\0")
        if words[0].endswith("raylet") and f"--raylet_socket_name={socket}" in words:
            os.kill(int(place.name), signal.SIGKILL)
    found: str = machine["NodeID"]
    return found


def main() -> None:
    """Work on more rows than one machine does in a minute, and wait until the others have gone."""
    loses, lost = "lose" in sys.argv, list[str]()
    most = 2 if loses else 3
    cluster = GrowingCluster(most=most, idle_s=12.0)
    cluster.start()
    try:
        ray.init(address="auto", log_to_driver=False)
        began = gpus(1, 3, 60.0)
        loser = threading.Thread(target=lambda: lost.append(lose_one()))
        if loses:
            loser.start()
        made = work(int(sys.argv[1]), PoolSettings(most_actors=most))
        if loses:
            loser.join()
        told = {"made": made, "gpus_before": began, "gpus_after": gpus(1, 1, 90.0), "lost": lost}
        print(json.dumps(told), flush=True)
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main()
