"""Which checkpoints of an output are whole; what killed runs left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import fsspec
import helpers_s3
import pytest
from helpers_s3 import reached

from v2a_core import storage
from v2a_core.storage import StorageAccess
from v2a_core.training import kept, leftovers
from v2a_core.training.kept import Kept


def output(folder: Path, *steps: int) -> Path:
    """An output with checkpoints of these steps."""
    for step in steps:
        checkpoint = folder / kept.FOLDER / f"checkpoint_2026-01-01_00-00-{step:02d}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "state.pt").write_bytes(bytes(range(200)) + bytes([step]))
        (checkpoint / "metrics.jsonl").write_text(f'{{"step": {step}}}\n')
        kept.describe(checkpoint, step)
    return folder


def newest(folder: Path) -> Path:
    return sorted((folder / kept.FOLDER).iterdir())[-1]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[17] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "cut": (lambda folder: (folder / "state.pt").write_bytes(b"half"), "state.pt has 4 of 201 bytes"),
    "empty": (lambda folder: (folder / "state.pt").write_bytes(b""), "state.pt has 0 of 201 bytes"),
    "flipped": (lambda folder: flip(folder / "state.pt"), "the content of state.pt is not what was written"),
    "missing": (lambda folder: (folder / "metrics.jsonl").unlink(), "metrics.jsonl is missing"),
    "unfinished": (lambda folder: (folder / kept.NOTE_FILE).unlink(), kept.CUT_SHORT),
    "no note": (lambda folder: (folder / kept.NOTE_FILE).write_text('{"step":'), "is not valid JSON"),
    "other note": (lambda folder: (folder / kept.NOTE_FILE).write_text("[]"), "does not describe a checkpoint"),
    "nothing": (lambda folder: [path.unlink() for path in folder.iterdir()], kept.CUT_SHORT),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_the_one_before_a_damaged_one_is_taken(tmp_path, kind):
    folder = output(tmp_path, 5, 10, 15)
    spoil, what = DAMAGE[kind]
    spoil(newest(folder))
    checked = kept.check(str(folder))
    assert [item.step for item in checked.good] == [5, 10]
    assert what in next(iter(checked.damaged.values()))
    if what != kept.CUT_SHORT:
        (sentence,) = checked.sentences()
        assert what in sentence
        assert sentence.endswith("going on from step 10")
    kept.remove(str(folder), checked)
    assert not kept.check(str(folder)).damaged
    assert len(list((folder / kept.FOLDER).iterdir())) == 2


def test_whole_ones_are_all_kept_in_the_order_of_their_steps(tmp_path):
    checked = kept.check(str(output(tmp_path, 15, 5, 10)))
    assert [item.step for item in checked.good] == [5, 10, 15]
    assert checked.sentences() == []
    assert kept.check(str(tmp_path / "new")) == kept.Checked([], {})


def test_without_a_whole_one_training_starts_anew_and_says_so(tmp_path):
    folder = output(tmp_path, 5)
    flip(newest(folder) / "state.pt")
    checked = kept.check(str(folder))
    assert checked.good == []
    assert checked.sentences()[0].endswith("training starts anew")


def test_checkpoints_elsewhere_are_checked_alike(tmp_path):
    memory = fsspec.filesystem("memory")
    local = output(tmp_path / "local", 5, 10)
    flip(newest(local) / "state.pt")
    memory.put(f"{local}/", "/kept/", recursive=True)
    checked = kept.check("memory://kept")
    assert checked.good == [Kept("checkpoint_2026-01-01_00-00-05", 5)]
    kept.remove("memory://kept", checked)
    assert not kept.check("memory://kept").damaged
    kept.upload(newest(output(tmp_path / "more", 20)), "memory://kept/checkpoints/checkpoint_20", 20)
    assert [item.step for item in kept.check("memory://kept").good] == [5, 20]


def test_checkpoints_of_a_killed_process_are_deleted_and_those_of_a_living_one_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = (
        "import time; from v2a_core.training.leftovers import scratch\n"
        "with scratch() as folder: (folder / 'state.pt').write_text('1'); print(folder, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    theirs = Path(process.stdout.readline().strip())
    with leftovers.scratch() as mine:
        assert mine.is_dir()
        assert (theirs / "state.pt").exists()
        process.send_signal(signal.SIGKILL)
        process.wait()
        with leftovers.scratch():
            assert not theirs.exists()
            assert mine.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_uploads_that_were_begun_are_ended_and_those_of_others_are_not(s3_server, tmp_path):
    (tmp_path / "file").write_text("")
    helpers_s3.upload(s3_server, "begun", tmp_path)
    client = helpers_s3.client(s3_server)
    for key in ("mapper/checkpoints/one/state.pt", "mapper/mapper.safetensors", "mapper-2/mapper.safetensors"):
        client.create_multipart_upload(Bucket="begun", Key=key)
    with storage.reach(StorageAccess(reached(s3_server))):
        assert leftovers.abort_uploads("s3://begun/mapper") == 2
        assert leftovers.abort_uploads("s3://begun/mapper") == 0
    left = client.list_multipart_uploads(Bucket="begun")["Uploads"]
    assert [item["Key"] for item in left] == ["mapper-2/mapper.safetensors"]
    assert leftovers.abort_uploads(str(tmp_path)) == 0
