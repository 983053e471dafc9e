"""Every GPU has one actor of the stage that computes most, and its share of the others; Ray is told of the GPUs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from typing import Any

import pytest
import ray

from v2a_core.config import ConfigError
from workflows.cluster_runtime import pools as cluster_pools
from workflows.cluster_runtime.config import PoolSettings

# Three stages as those of `v2a generate`; rows tell on which machine and GPU each of them worked on it.
_CHAIN = """
import json, os, sys, time
from dataclasses import dataclass
import pyarrow as pa
import ray
from ray.cluster_utils import Cluster
from workflows.cluster_runtime.config import PoolSettings
from workflows.cluster_runtime.pools import prepare_data
from workflows.streaming.plan import from_tables
from workflows.streaming.stages import ActorStage, run_actors

@dataclass(frozen=True)
class Stage(ActorStage):
    name: str
    def prepare(self, worker):
        pass
    def load(self):
        place = ray.get_runtime_context().get_node_id() + " " + os.environ.get("CUDA_VISIBLE_DEVICES", "")
        def work(batch):
            time.sleep(0.3)
            return batch.append_column(self.name, pa.array([place] * len(batch)))
        return work

class Vision(Stage): pass
class Mapper(Stage): pass
class Generator(Stage): pass

machines = json.loads(sys.argv[1])
cluster = Cluster()
for cpus, gpus in machines:
    cluster.add_node(num_cpus=cpus, num_gpus=gpus)
ray.init(address=cluster.address, log_to_driver=False)
pools = prepare_data(PoolSettings(), 3)
data = from_tables(pa.table({"number": [number]}) for number in range(12 * pools.actors))
data = run_actors(data, Vision("vision"), pools, batch_size=1, cpus=0.1, gpu="beside")
data = run_actors(data, Mapper("mapper"), pools, batch_size=1, cpus=0.1, gpu="beside")
data = run_actors(data, Generator("generator"), pools, batch_size=1, cpus=0.1)
print(json.dumps(data.to_pandas().to_dict("list")), flush=True)
ray.shutdown()
cluster.shutdown()
"""


def places(*machines: tuple[int, int]) -> dict[str, Counter[str]]:
    command = [sys.executable, "-c", _CHAIN, json.dumps(machines)]
    # A folder of its own: Ray's programs find each other, and other clusters of the machine, by what is in it.
    with tempfile.TemporaryDirectory(prefix="v2a-") as folder:
        environment = {**os.environ, "RAY_TMPDIR": folder}
        ran = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment, check=False)
    assert ran.returncode == 0, (ran.stdout + ran.stderr)[-3000:]
    (told,) = (line for line in ran.stdout.splitlines() if line.startswith("{"))  # Ray says this and that, too
    columns: dict[str, list[Any]] = json.loads(told)
    return {name: Counter(columns[name]) for name in ("vision", "mapper", "generator")}


@pytest.mark.slow
@pytest.mark.parametrize("gpus", [1, 2, 8])
def test_each_gpu_of_a_machine_has_one_of_each(gpus: int) -> None:
    for stage, found in places((4 * gpus, gpus)).items():
        assert len(found) == gpus, (stage, found)


@pytest.mark.slow
def test_machines_of_different_kinds() -> None:
    found = places((4, 0), (8, 1), (16, 4))
    assert len(found["generator"]) == 5
    for stage in ("vision", "mapper"):
        assert all(not place.endswith(" ") for place in found[stage])  # none on the machine without a GPU


def resources(monkeypatch: pytest.MonkeyPatch, *machines: dict[str, float]) -> None:
    total = Counter[str]()
    for machine in machines:
        total.update(machine)
    monkeypatch.setattr(ray, "cluster_resources", lambda: dict(total))
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": machine} for machine in machines])


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({"device": "gpu"}, "pools.device = 'gpu': none of the 2 machines of this cluster has a GPU"),
        ({"decode_cpus": 9.0}, "pools.decode_cpus = 9: .* the largest of this cluster has 8 CPUs"),
        ({"model_actors": 2, "most_actors": 1}, "pools.most_actors = 1: fewer than the 2 that the stage begins with"),
        (
            {"model_actors": 99},
            "pools.model_actors = 99: each reserves 0.25 CPUs, for which this cluster has room 48 times",
        ),
    ],
)
def test_what_can_never_be_placed_is_told(monkeypatch: pytest.MonkeyPatch, wish: dict[str, Any], told: str) -> None:
    resources(monkeypatch, {"CPU": 8.0}, {"CPU": 4.0})
    with pytest.raises(ConfigError, match=told):
        cluster_pools.plan_pools(PoolSettings(**wish), 3)


def test_a_job_with_one_model_decodes_on_the_cpus_that_others_would_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    resources(monkeypatch, {"CPU": 16.0, "GPU": 2.0})
    one, three = (cluster_pools.plan_pools(PoolSettings(), stages) for stages in (1, 3))
    assert (one.decode_tasks, three.decode_tasks) == (14, 10)
    assert one.main_gpus == 0.9


def test_several_actors_share_a_gpu_when_so_many_are_wished(monkeypatch: pytest.MonkeyPatch) -> None:
    resources(monkeypatch, {"CPU": 64.0, "GPU": 2.0})
    pools = cluster_pools.plan_pools(PoolSettings(model_actors=6), 1)
    per_gpu = 1 / (pools.main_gpus + pools.beside_gpus)
    assert 3 <= per_gpu < 4


@pytest.mark.parametrize(
    ("gpus", "share", "actors", "of_each"),
    [(8.0, 1.0, 8, 0.9), (8.0, 0.5, 4, 0.9), (1.0, 0.5, 1, 0.45), (3.0, 0.5, 1, 0.9)],
)
def test_a_job_takes_its_share(
    monkeypatch: pytest.MonkeyPatch, gpus: float, share: float, actors: int, of_each: float
) -> None:
    resources(monkeypatch, {"CPU": 16 * gpus, "GPU": gpus})
    pools = cluster_pools.plan_pools(PoolSettings(share=share), 2)
    assert (pools.actors, pools.most_actors, pools.main_gpus) == (actors, actors, of_each)
    assert pools.actors * pools.main_gpus <= share * gpus
    assert pools.decode_tasks * pools.decode_cpus + 2 * actors * pools.actor_cpus <= share * 16 * gpus


def test_a_pool_grows_with_its_cluster_to_what_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    resources(monkeypatch, {"CPU": 16.0, "GPU": 2.0})
    now, later = (cluster_pools.plan_pools(PoolSettings(most_actors=most), 2) for most in (1, 6))
    assert (now.actors, now.most_actors) == (1, 1)
    assert (later.actors, later.most_actors, later.main_gpus) == (2, 6, now.main_gpus)
    assert later.decode_tasks == 3 * 12
