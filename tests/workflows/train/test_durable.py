"""A training run that loses its driver, a worker or a node ends as an undisturbed one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import helpers_embeddings as world
import numpy as np
import pytest
import safetensors.numpy
from helpers_processes import job_environment

pytestmark = pytest.mark.slow

SETTINGS = (
    "mapper.method.kind=diffusion", "mapper.network.kind=mlp", "mapper.network.width=256", "mapper.network.depth=1",
    "training.epochs=200", "training.global_batch=64", "training.precision=fp32", "training.log_every_steps=10",
    "training.validation.sampled_rows=16", "training.validation.sampling_steps=4",
    "training.validation.every_epochs=10", "training.optimizer.learning_rate=0.002",
    "scaling.threads=1", "scaling.cpus_per_worker=0.5",
)  # fmt: skip
STEPS = 200 * 5


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory) -> str:
    return world.write(tmp_path_factory.mktemp("linear") / "embeddings", world.table(330))


@pytest.fixture(scope="module")
def undisturbed(embeddings, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("undisturbed") / "mapper"
    run(embeddings, output)
    return output


def command(embeddings: str, output: Path, *more: str) -> list[str]:
    tool = [sys.executable, "-m", "workflows.train", embeddings, "--output", str(output)]
    return [*tool, *(f"--set={item}" for item in (*SETTINGS, *more))]


def run(embeddings: str, output: Path, *more: str) -> None:
    subprocess.run(command(embeddings, output, *more), env=job_environment(), check=True, timeout=200)


def start(embeddings: str, output: Path, *more: str, **extra: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command(embeddings, output, *more), env=job_environment(**extra), start_new_session=True)


def wait_for_step(output: Path, step: int, process: subprocess.Popen[bytes]) -> None:
    """Until a checkpoint of at least that step is complete."""
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline and process.poll() is None:
        states = output.glob("checkpoints/checkpoint_manager_snapshot.json")
        if any(_latest(path) >= step for path in states):
            return
        time.sleep(0.05)
    raise AssertionError(f"no checkpoint of step {step}; the run ended with {process.poll()}")


def _latest(path: Path) -> int:
    try:
        state = json.loads(path.read_text())
    except ValueError:
        return 0
    latest = state.get("latest_checkpoint_result") or {"metrics": {"step": 0}}
    return int(latest["metrics"]["step"])


def weights(output: Path) -> dict[str, np.ndarray]:
    return safetensors.numpy.load_file(output / "mapper.safetensors")


def losses(output: Path) -> np.ndarray:
    return np.array([json.loads(line)["train_loss"] for line in (output / "losses.jsonl").read_text().splitlines()])


def assert_same(output: Path, other: Path, tolerance: float) -> None:
    got, want = weights(output), weights(other)
    assert got.keys() == want.keys()
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=0, atol=tolerance, err_msg=name)
    assert json.loads((output / "summary.json").read_text())["steps"] == STEPS
    np.testing.assert_allclose(losses(output), losses(other), rtol=max(tolerance, 1e-12))


def worker_pids(parent: int) -> list[int]:
    """Training workers below a process."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()[1:]]
    below, found = {parent}, []
    for _ in rows:  # as deep as the list is long, at most
        more = {int(pid) for pid, above, _ in rows if int(above) in below} - below
        if not more:
            break
        below |= more
    for pid, _, arguments in rows:
        if int(pid) in below and arguments.startswith("ray::") and "RayTrainWorker" in arguments:
            found.append(int(pid))
    return found


@pytest.mark.timeout(290)
def test_a_killed_driver_goes_on_bit_for_bit(embeddings, undisturbed, tmp_path):
    output = tmp_path / "mapper"
    process = start(embeddings, output)
    wait_for_step(output, 50, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (output / "mapper.safetensors").exists()
    run(embeddings, output)
    assert json.loads((output / "summary.json").read_text())["continued_from"] >= 50
    assert_same(output, undisturbed, tolerance=0.0)


@pytest.mark.timeout(290)
@pytest.mark.parametrize(("workers", "tolerance"), [(1, 0.0), (2, 1e-3)])
def test_a_killed_worker_is_replaced(embeddings, undisturbed, tmp_path, workers, tolerance):
    output = tmp_path / "mapper"
    process = start(embeddings, output, f"scaling.workers={workers}")
    wait_for_step(output, 50, process)
    pids = worker_pids(process.pid)
    assert len(pids) == workers
    os.kill(pids[-1], signal.SIGKILL)
    assert process.wait(timeout=200) == 0
    assert_same(output, undisturbed, tolerance)


@pytest.mark.timeout(290)
def test_a_lost_node_is_survived(embeddings, undisturbed, tmp_path):
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        cluster.add_node(num_cpus=0, include_dashboard=False)
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        output = tmp_path / "mapper"
        # A worker a node; with one node less, the other goes on alone.
        more = ("scaling.workers=2", "scaling.min_workers=1", "scaling.cpus_per_worker=1")
        process = start(embeddings, output, *more, RAY_ADDRESS=cluster.address)
        wait_for_step(output, 50, process)
        cluster.remove_node(nodes[-1], allow_graceful=False)
        assert process.wait(timeout=240) == 0
    finally:
        cluster.shutdown()
    assert_same(output, undisturbed, tolerance=1e-3)


@pytest.mark.timeout(290)
def test_four_workers_draw_the_loss_curve_of_one(embeddings, tmp_path):
    """200 steps, fp32, the same global batch."""
    curves = []
    for workers in (1, 4):
        output = tmp_path / f"mapper-{workers}"
        more = (
            "training.max_steps=200", "training.epochs=40", "training.log_every_steps=1",
            "training.validation.every_epochs=40", f"scaling.workers={workers}", "scaling.cpus_per_worker=0.25",
        )  # fmt: skip
        run(embeddings, output, *more)
        curves.append(losses(output))
    assert len(curves[0]) == len(curves[1]) == 200
    np.testing.assert_allclose(curves[1], curves[0], rtol=1e-3)
    assert curves[0][-20:].mean() < curves[0][:20].mean()
