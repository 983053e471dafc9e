"""Two runs on one output: one owns it, the other is told so, and no row is there twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import helpers_catalog
import pyarrow.parquet as pq
import pytest

from v2a_core import storage
from v2a_core.config import load
from v2a_core.outputs import lease
from v2a_core.outputs.lease import LeaseLostError, OutputInUseError, hold
from v2a_core.outputs.ledger import part_files
from v2a_core.outputs.status import Status, read_status
from workflows.cli.main import main
from workflows.embed import job as embed
from workflows.embed.config import EmbedJob
from workflows.streaming import stream
from workflows.train import job as train
from workflows.train.config import TrainJob

SETTINGS = ("segments.length_s=1.0", "frames.frames_per_second=2.0", "output.interval_s=0")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("owner") / "catalog"
    for index in range(4):
        helpers_catalog.video(folder / f"{index}.mp4", 2.0, hue=40 * index)
    return folder


def run(catalog: Path, output: Path, **more: bool) -> dict[str, object]:
    return embed.run(
        [str(catalog)], str(output), load(EmbedJob, job="embed", overrides=SETTINGS), models="miniature", **more
    )


def ids(output: Path) -> Counter[str]:
    parts = part_files(f"{output}/rows")
    return Counter(row["segment_id"] for part in parts for row in pq.read_table(part).to_pylist())


def test_a_second_run_is_refused_before_it_reads_or_writes_anything(ray_session, catalog, tmp_path):
    output = tmp_path / "out"
    with hold(str(output), "embed"):
        held = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
        started = time.monotonic()
        with pytest.raises(OutputInUseError, match=rf"process {os.getpid()} on .*--steal"):
            run(catalog, output)
        assert time.monotonic() - started < 10
        assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == held
    assert not output.exists()


@pytest.mark.slow
def test_a_dry_run_may_look_at_what_another_run_owns(ray_session, catalog, tmp_path):
    output = tmp_path / "out"
    with hold(str(output), "embed"):
        run(catalog, output, dry_run=True)  # writes nothing
    assert not output.exists()
    run(catalog, output)
    assert len(ids(output)) == 8


@pytest.fixture(scope="module")
def watched(ray_session, catalog, tmp_path_factory):
    """A run that is slow to take its rows, and what its output said of it meanwhile."""
    output, seen, real = tmp_path_factory.mktemp("watched") / "out", [], stream.Sink.take

    def take(self, table):
        written = real(self, table)
        seen.append(_status_when(output, lambda found: found.parts and found.owner.progress.get("done")))
        return written

    settings = [*SETTINGS, "output.interval_s=0.2", "pools.sources_per_block=1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lease, "RENEW_S", 0.05)
        patch.setattr(stream, "LOOK_S", 0.05)
        patch.setattr(stream.Sink, "take", take)
        embed.run([str(catalog)], str(output), load(EmbedJob, job="embed", overrides=settings), models="miniature")
    return output, seen


def test_how_far_a_run_is_can_be_read_from_its_output(watched, tmp_path, capsys):
    """Also while nothing arrives, and what has arrived is committed then."""
    output, seen = watched
    assert {status.state for status in seen} == {"running"}
    assert {status.owner.process for status in seen} == {os.getpid()}
    done = [status.owner.progress["done"] for status in seen]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (seen[0].owner.progress["rows"] // 2, 4)
    assert {status.owner.progress["planned"] for status in seen} == {4}
    assert 0 <= seen[0].eta_s < 600
    assert "progress: " in "\n".join(seen[0].lines())
    assert main(["status", str(output), "--json"]) == 0
    ended = json.loads(capsys.readouterr().out)
    assert (ended["state"], ended["rows"], ended["parts"]) == ("done", 8, len(part_files(f"{output}/rows")))
    assert main(["status", str(tmp_path / "none")]) == 2
    assert "no job of `v2a` has written there" in capsys.readouterr().err


def _status_when(output: Path, holds: Callable[[Status], object]) -> Status:
    deadline = time.monotonic() + 30
    while not holds(found := read_status(str(output))):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


@pytest.mark.slow
def test_what_is_stolen_is_not_written_by_whom_it_was_stolen_from(ray_session, catalog, tmp_path, monkeypatch):
    output, taken = tmp_path / "out", threading.Event()
    real = lease.Lease.check

    def check(self):
        if not taken.is_set():
            taken.set()
            # Just before the first commit of the first run, another one takes its output over, and does all.
            thread = threading.Thread(target=run, args=(catalog, output), kwargs={"steal": True})
            thread.start()
            thread.join()
        real(self)

    monkeypatch.setattr(lease.Lease, "check", check)
    with pytest.raises(LeaseLostError, match="taken over by another run"):
        run(catalog, output)
    assert set(ids(output).values()) == {1}
    assert len(ids(output)) == 8
    assert storage.read_json(f"{output}/manifest.json")["status"] == "done"


@pytest.mark.slow
def test_of_runs_that_begin_at_once_one_does_the_work(catalog, tmp_path):
    output = tmp_path / "out"
    command = [sys.executable, "-m", "workflows.embed", str(catalog), "--output", str(output), "--models", "miniature"]
    command += [f"--set={setting}" for setting in SETTINGS]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    told = [run.communicate(timeout=200)[1] for run in runs]
    # One that was slow to begin may come when all is done.
    for run, said in zip(runs, told, strict=True):
        assert run.returncode == 0 or (run.returncode == 2 and "belongs to a run of `v2a embed`" in said), told
    assert 0 in {run.returncode for run in runs}
    assert set(ids(output).values()) == {1}
    assert len(ids(output)) == 8


def test_a_training_is_refused_too(watched, tmp_path):
    embeddings, _ = watched
    job = load(TrainJob, job="train", overrides=["training.max_steps=1", "training.global_batch=4"])
    with hold(str(tmp_path / "mapper"), "train"), pytest.raises(OutputInUseError, match="`v2a train`"):
        train.run(str(embeddings), str(tmp_path / "mapper"), job)
    assert not (tmp_path / "mapper").exists()
