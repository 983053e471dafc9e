"""Pools that grow and shrink with their cluster, and two jobs that share one, on Ray's own autoscaler and scheduler."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

HELPERS = Path(__file__).parents[2] / "helpers"
SHARE = """
import json, sys
import ray
from helpers_growing import work
from workflows.cluster_runtime.config import PoolSettings
ray.init(address=sys.argv[1], log_to_driver=False)
print(json.dumps(work(30, PoolSettings(share=0.5))), flush=True)
"""


needs_root = pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="a process namespace needs root")


def environment() -> dict[str, str]:
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    variables = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    return {**variables, "PATH": path, "PYTHONPATH": str(HELPERS), "RAY_USAGE_STATS_ENABLED": "0"}


def told(output: str) -> dict[str, Any]:
    (line,) = (line for line in output.splitlines() if line.startswith("{"))  # Ray says this and that, too
    found: dict[str, Any] = json.loads(line)
    return found


def grown(*asked: str) -> dict[str, Any]:
    """What `helpers_growing.py` tells."""
    command = [
        "unshare",
        "--pid",
        "--fork",
        "--mount-proc",
        sys.executable,
        str(HELPERS / "helpers_growing.py"),
        *asked,
    ]
    ran = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=580, check=False)
    assert ran.returncode == 0, (ran.stdout + ran.stderr)[-3000:]
    return told(ran.stdout)


@pytest.mark.slow
@pytest.mark.timeout(600)
@needs_root
def test_a_pool_grows_with_its_cluster_and_machines_go_when_there_is_nothing_to_do() -> None:
    found = grown("120")
    assert sorted(found["made"]["number"]) == list(range(120))
    assert found["gpus_before"] == 1
    assert len(set(found["made"]["place"])) > 1
    assert found["gpus_after"] == 1


@pytest.mark.slow
@pytest.mark.timeout(600)
@needs_root
def test_a_machine_that_is_lost_in_the_middle_is_replaced_and_nothing_with_it() -> None:
    found = grown("150", "lose")
    assert sorted(found["made"]["number"]) == list(range(150))
    (lost,) = found["lost"]
    # There are never more than two: a third one came in its place.
    assert len(set(found["made"]["place"]) - {lost}) == 2


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_jobs_on_one_cluster_get_two_fifths_each(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", str(HELPERS))  # the machines start workers that find the stage
    cluster = Cluster()
    try:
        cluster.add_node(num_cpus=4, num_gpus=2)
        command = [sys.executable, "-c", SHARE, cluster.address]
        jobs = [subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) for _ in range(2)]
        began = [sorted(told(job.communicate(timeout=250)[0])["began"]) for job in jobs]
    finally:
        cluster.shutdown()
    first, last = max(times[0] for times in began), min(times[-1] for times in began)
    done = [sum(first <= time <= last for time in times) for times in began]
    assert sum(done) > 20, began
    assert min(done) >= 0.4 * sum(done), done
