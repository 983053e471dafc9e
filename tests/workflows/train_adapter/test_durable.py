"""The training of an adapter that is killed, shared among workers or sent to a bucket ends as an undisturbed one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import helpers_s3
import helpers_sounds
import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers_processes import job_environment, wait_until
from helpers_s3 import FAULTS, misbehaving, reached
from safetensors.numpy import load_file

from v2a_core import storage
from v2a_core.config import load
from v2a_core.outputs.ledger import part_files
from v2a_core.storage import StorageAccess
from v2a_core.verification.check import verify
from workflows.train_adapter import job as train_adapter
from workflows.train_adapter.config import AdapterJob

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SETTINGS = (
    "segments.length_s=1.0", "segments.min_length_s=0.3", "encoders.precision=fp32", "output.interval_s=0",
    "pools.sources_per_block=1", "pools.segments_per_batch=2", "adapter.width=16", "training.epochs=6",
    "training.global_batch=8", "training.precision=fp32", "training.log_every_steps=1", "scaling.threads=1",
    "scaling.cpus_per_worker=0.5",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return helpers_sounds.sounds(tmp_path_factory.mktemp("given") / "sounds", 10)


@pytest.fixture(scope="module")
def undisturbed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("undisturbed") / "adapter"
    finish(folder, output)
    return output


def start(folder: Path, output: Path, *more: str) -> subprocess.Popen[bytes]:
    tool = [sys.executable, "-m", "workflows.train_adapter", str(folder), "--output", str(output)]
    command = [*tool, "--models", "miniature", *(f"--set={item}" for item in (*SETTINGS, *more))]
    return subprocess.Popen(command, env=job_environment(), start_new_session=True)


def finish(folder: Path, output: Path, *more: str) -> None:
    assert start(folder, output, *more).wait(timeout=1200) == 0


def heard(output: Path) -> dict[str, dict]:
    rows = [row for part in part_files(f"{output}/sounds/rows") for row in pq.read_table(part).to_pylist()]
    assert len({row["segment_id"] for row in rows}) == len(rows)
    return {row["segment_id"]: row for row in rows}


def assert_same(output: Path, other: Path, tolerance: float) -> None:
    mine, theirs = heard(output), heard(other)
    assert mine.keys() == theirs.keys()
    for identity, row in theirs.items():
        for name in ("latents", "curve", "clap_embedding"):
            np.testing.assert_allclose(np.array(mine[identity][name]), np.array(row[name]), atol=2e-3, err_msg=name)
    got, want = (load_file(place / "adapter.safetensors") for place in (output, other))
    assert got.keys() == want.keys()
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=0, atol=tolerance, err_msg=name)


def test_the_generator_errs_less_with_the_curves_of_its_sounds(undisturbed: Path) -> None:
    rows = [json.loads(line) for line in (undisturbed / "metrics.jsonl").read_text().splitlines()]
    losses = [row["validation_loss"] for row in rows]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < rows[-1]["validation_loss_others"]
    assert losses[-1] < rows[-1]["validation_loss_free"] - 0.005
    assert len({row["validation_loss_free"] for row in rows}) == 1  # the generator itself stays as it is


@pytest.mark.parametrize("ended_by", [signal.SIGKILL, signal.SIGTERM])
def test_ended_while_it_hears_and_while_it_trains_it_goes_on(
    folder: Path, undisturbed: Path, tmp_path: Path, ended_by: signal.Signals
) -> None:
    output, draw = tmp_path / "adapter", random.Random(int(ended_by))
    process = start(folder, output)
    wait_until(lambda: part_files(f"{output}/sounds/rows"), process, 600)
    time.sleep(draw.uniform(0, 0.5))
    end(process, ended_by)
    assert 0 < len(heard(output)) <= len(heard(undisturbed))
    assert not (output / "adapter.safetensors").exists()
    process = start(folder, output)
    wait_until(lambda: list(output.glob("checkpoints/checkpoint_*/checkpoint.json")), process, 900)
    time.sleep(draw.uniform(0, 0.5))
    end(process, ended_by)
    finish(folder, output)
    # CLAP hears sounds in other batches after a kill: its last digits differ.
    assert_same(output, undisturbed, 1e-4)
    assert json.loads((output / "summary.json").read_text())["steps"] == steps(undisturbed)


def steps(output: Path) -> int:
    return int(json.loads((output / "summary.json").read_text())["steps"])


def end(process: subprocess.Popen[bytes], ended_by: signal.Signals) -> None:
    if process.poll() is None:
        os.kill(process.pid, ended_by)
    process.wait(timeout=120)


def test_three_workers_train_what_one_trains(folder: Path, undisturbed: Path, tmp_path: Path) -> None:
    finish(folder, tmp_path / "adapter", "scaling.workers=3", "scaling.cpus_per_worker=0.3")
    assert_same(tmp_path / "adapter", undisturbed, 1e-3)


def test_from_a_bucket_on_a_bad_day_it_is_the_same(
    ray_session: None, folder: Path, undisturbed: Path, s3_server: str, tmp_path: Path
) -> None:
    helpers_s3.upload(s3_server, "heard", folder.parent)
    with misbehaving(s3_server, FAULTS, seed=3) as proxy:
        reach = (f"storage.endpoint={proxy.url}", "storage.region=us-east-1")
        job = load(AdapterJob, job="train-adapter", overrides=[*SETTINGS, *reach])
        summary = train_adapter.run(["s3://heard/sounds"], "s3://heard/adapter", job, models="miniature")
        again = train_adapter.run(["s3://heard/sounds"], "s3://heard/adapter", job, models="miniature")
        faults = proxy.did["slow_down"] + proxy.did["cut"] + proxy.did["cut upload"]
    assert faults > 0
    assert summary["steps"] == steps(undisturbed)
    assert again == summary
    with storage.reach(StorageAccess(reached(s3_server))):
        fs, path = storage.filesystem("s3://heard/adapter")
        fs.get(path, str(tmp_path / "adapter"), recursive=True)
        assert verify("s3://heard/adapter").problems == []
    # Places are a part of ids, and ids of splits and order: it is another training, on the same lessons.
    mine, theirs = by_name(tmp_path / "adapter"), by_name(undisturbed)
    assert mine.keys() == theirs.keys()
    for place, row in theirs.items():
        for name in ("latents", "curve", "clap_embedding"):
            np.testing.assert_allclose(np.array(mine[place][name]), np.array(row[name]), atol=2e-3, err_msg=name)
    got, want = (load_file(place / "adapter.safetensors") for place in (tmp_path / "adapter", undisturbed))
    assert {name: value.shape for name, value in got.items()} == {name: value.shape for name, value in want.items()}


def by_name(output: Path) -> dict[tuple[str, int], dict]:
    return {(row["source_name"], row["segment_index"]): row for row in heard(output).values()}
