"""What bad luck does to a training: damaged checkpoints, a full disk, Ctrl-C, weights that are no numbers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import helpers_embeddings as world
import pytest
from helpers_processes import job_environment, wait_until, with_environment
from helpers_training import PERCEPTRON

from v2a_core.config import load
from v2a_core.training import kept
from workflows.train import job as train
from workflows.train.config import TrainJob

SETTINGS = (
    *PERCEPTRON,
    "training.epochs=3", "training.global_batch=64", "training.precision=fp32", "scaling.max_failures=0",
    "scaling.threads=1",
)  # fmt: skip


def job(*overrides: str) -> TrainJob:
    return load(TrainJob, job="train", overrides=[*SETTINGS, *overrides])


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory) -> str:
    return world.write(tmp_path_factory.mktemp("linear") / "embeddings", world.table(300))


@pytest.fixture(scope="module")
def trained(ray_session, embeddings, tmp_path_factory) -> tuple[Path, dict]:
    output = tmp_path_factory.mktemp("trained") / "mapper"
    return output, train.run(embeddings, str(output), job())


def killed_at_the_end(trained: tuple[Path, dict], folder: Path) -> Path:
    """The output as if the run had been killed when its last checkpoint had arrived."""
    shutil.copytree(trained[0], folder)
    for name in ("mapper.safetensors", "config.json", "summary.json"):
        (folder / name).unlink()
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "status": "running"}))
    return folder


def newest(folder: Path) -> Path:
    return sorted((folder / kept.FOLDER).glob("checkpoint_*/"))[-1]


def cut(folder: Path) -> None:
    state = newest(folder) / "state.pt"
    state.write_bytes(state.read_bytes()[:5000])
    (folder / kept.FOLDER / "checkpoint_manager_snapshot.json").write_text("")


ATTACKS = {"cut and the list emptied": cut, "deleted": lambda folder: shutil.rmtree(newest(folder))}


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_newest_checkpoint_is_lost(ray_session, embeddings, trained, tmp_path, attack, capsys):
    """The newest checkpoint of a killed training is damaged or gone, and Ray's list with it."""
    output = killed_at_the_end(trained, tmp_path / "mapper")
    ATTACKS[attack](output)
    summary = train.run(embeddings, str(output), job())
    assert summary["continued_from"] == 10
    assert summary["fingerprint"] == trained[1]["fingerprint"]  # the same weights, bit for bit
    assert ("going on from step 10" in capsys.readouterr().out) == (attack != "deleted")


def command(embeddings: str, output: Path, *more: str) -> list[str]:
    tool = [sys.executable, "-m", "workflows.train", embeddings, "--output", str(output)]
    return [*tool, *(f"--set={item}" for item in (*SETTINGS, *more))]


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a file system cannot be mounted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_the_disk_is_full(embeddings, trained, small_disk):
    """The output's disk is full in mid-training, and has room again later."""
    filler, output = small_disk / "filler", small_disk / "mapper"
    checkpoint = sum(path.stat().st_size for path in newest(trained[0]).iterdir())
    filler.write_bytes(bytes(64 * 2**20 - int(1.5 * checkpoint) - 2**17))
    failed = subprocess.run(
        command(embeddings, output), env=job_environment(), capture_output=True, text=True, timeout=250
    )
    assert failed.returncode == 1
    assert "no room left" in failed.stderr
    assert "the same command goes on" in failed.stderr
    assert len(failed.stderr.strip().splitlines()) == 1
    filler.unlink()
    subprocess.run(command(embeddings, output), env=job_environment(), check=True, timeout=250)
    assert json.loads((output / "summary.json").read_text())["fingerprint"] == trained[1]["fingerprint"]


@pytest.mark.parametrize("whole_group", [True, False], ids=["on the terminal", "to the driver alone"])
def test_ctrl_c(embeddings, tmp_path, whole_group):
    """Ctrl-C in mid-training."""
    output = tmp_path / "mapper"
    process = subprocess.Popen(
        command(embeddings, output, "training.epochs=100000"),
        env={**job_environment(), "V2A_ATTACK": str(tmp_path)},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    wait_until(lambda: len(list(output.glob("checkpoints/checkpoint_*/checkpoint.json"))) > 1, process, seconds=120)
    assert process.poll() is None, process.communicate()
    os.killpg(process.pid, signal.SIGINT) if whole_group else process.send_signal(signal.SIGINT)
    watchdog = threading.Timer(90, process.kill)
    watchdog.start()
    _, told = process.communicate()
    watchdog.cancel()
    assert (process.returncode, told.decode().strip().splitlines()[-1:]) == (
        1,
        ["v2a: stopped; what was written is kept, the same command goes on from there"],
    ), told.decode()
    end = time.monotonic() + 20
    while left := with_environment(f"V2A_ATTACK={tmp_path}"):
        assert time.monotonic() < end, left
        time.sleep(0.2)
