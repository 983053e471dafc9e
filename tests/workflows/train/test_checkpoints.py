"""Ray Train's list of checkpoints after bad days, and how checkpoints travel; no Ray runs here."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import ray.train
from ray.train import CheckpointConfig
from ray.train.v2._internal.execution.checkpoint.checkpoint_manager import CheckpointManager
from ray.train.v2._internal.execution.storage import StorageContext

from v2a_core.training import kept
from workflows.training import report as train_report
from workflows.training import snapshot as train_snapshot

LIST = "checkpoint_manager_snapshot.json"


def output(folder: Path, *steps: int) -> Path:
    """An output with checkpoints of these steps, and Ray's list of them."""
    for step in steps:
        checkpoint = folder / kept.FOLDER / f"checkpoint_2026-01-01_00-00-{step:02d}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "state.pt").write_bytes(bytes([step]))
        kept.describe(checkpoint, step)
    train_snapshot.mend(str(folder), "train")
    return folder


def as_ray_finds_it(folder: Path) -> list[int]:
    """The steps of the checkpoints that Ray Train would go on with, the latest last."""
    storage = StorageContext(str(folder), kept.FOLDER)
    manager = CheckpointManager(CheckpointConfig(num_to_keep=2), storage)
    results = manager.best_checkpoint_results
    assert manager.latest_checkpoint_result == (results[-1] if results else None)
    return [result.metrics["step"] for result in results]


def newest(folder: Path) -> Path:
    return sorted((folder / kept.FOLDER).glob("checkpoint_*/"))[-1]


BAD_DAYS = {
    "the list is empty": lambda folder: (folder / kept.FOLDER / LIST).write_text(""),
    "the list is torn": lambda folder: (folder / kept.FOLDER / LIST).write_text('{"ray_version": "2'),
    "the list is lost": lambda folder: (folder / kept.FOLDER / LIST).unlink(),
    "the list is of another kind": lambda folder: (folder / kept.FOLDER / LIST).write_text('{"ray_version": "9"}'),
}


@pytest.mark.parametrize("day", BAD_DAYS)
def test_a_bad_list_is_mended(tmp_path, day):
    folder = output(tmp_path, 5, 10)
    BAD_DAYS[day](folder)
    train_snapshot.mend(str(folder), "train")
    assert as_ray_finds_it(folder) == [5, 10]


@pytest.mark.parametrize("lost", [True, False])
def test_a_lost_or_damaged_checkpoint_leaves_the_list(tmp_path, lost, capsys):
    folder = output(tmp_path, 5, 10)
    (newest(folder) / "state.pt").write_bytes(b"xy")
    if lost:
        for file in newest(folder).iterdir():
            file.unlink()
        newest(folder).rmdir()
    train_snapshot.mend(str(folder), "train")
    assert as_ray_finds_it(folder) == [5]
    told = capsys.readouterr().out
    assert ("going on from step 5" in told) == (not lost)


def test_a_checkpoint_that_arrived_before_the_kill_is_found(tmp_path):
    folder = output(tmp_path, 5)
    checkpoint = folder / kept.FOLDER / "checkpoint_2026-01-01_00-00-10"
    checkpoint.mkdir()
    (checkpoint / "state.pt").write_bytes(b"1")
    kept.describe(checkpoint, 10)
    train_snapshot.mend(str(folder), "train")
    assert as_ray_finds_it(folder) == [5, 10]


def test_what_is_right_is_left_alone(tmp_path):
    folder = output(tmp_path, 5, 10)
    before = (folder / kept.FOLDER / LIST).stat().st_mtime_ns
    train_snapshot.mend(str(folder), "train")
    assert (folder / kept.FOLDER / LIST).stat().st_mtime_ns == before
    train_snapshot.mend(str(tmp_path / "new"), "train")
    assert not (tmp_path / "new").exists()


def test_nothing_whole_is_no_list(tmp_path):
    folder = output(tmp_path, 5)
    (newest(folder) / "state.pt").write_bytes(b"xy")
    train_snapshot.mend(str(folder), "train")
    assert as_ray_finds_it(folder) == []


class SlowRay:
    """Ray Train's report: it uploads in a thread of its own, in turn, as slowly as told."""

    def __init__(self) -> None:
        self.going = self.most = 0
        self.threads: list[threading.Thread] = []

    def report(self, metrics, *, checkpoint, checkpoint_upload_fn, **_) -> None:
        thread = threading.Thread(target=checkpoint_upload_fn, args=(checkpoint, f"checkpoint_{metrics['step']}"))
        self.threads.append(thread)
        thread.start()

    def upload(self, folder: Path, uri: str, step: int) -> None:
        self.going += 1
        self.most = max(self.most, self.going)
        time.sleep(0.05)
        self.going -= 1
        if step == 3:
            raise OSError(28, "No space left on device")


def test_checkpoints_wait_for_slow_storage(tmp_path, monkeypatch):
    slow = SlowRay()
    monkeypatch.setattr(ray.train, "report", slow.report)
    monkeypatch.setattr(kept, "upload", slow.upload)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # there is no Ray that these threads could tell
    here = []
    with train_report.Uploads(str(tmp_path / "output")) as uploads:
        for step in range(6):
            folder = tmp_path / str(step)
            folder.mkdir()
            here.append(sum(path.is_dir() for path in tmp_path.iterdir()))
            uploads.report({"step": step}, folder)
    # The last one has arrived, and one that could not be written holds up nobody.
    assert slow.going == 0
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    assert slow.most == 1
    assert max(here) == 2  # one on its way, one that was just made
    for thread in slow.threads:
        thread.join()


def test_a_full_disk_is_told_from_other_failures():
    full = train_report.storage_trouble(
        ray.train.WorkerGroupError("...", {0: OSError(28, "No space left on device", "/output/state.pt")})
    )
    assert "no room left" in str(full)
    assert "/output/state.pt" in str(full)
    assert train_report.storage_trouble(ray.train.WorkerGroupError("...", {0: ValueError("no")})) is None
    controller = ray.train.ControllerError(OSError(28, "No space left on device"))
    assert "no room left" in str(train_report.storage_trouble(controller))
