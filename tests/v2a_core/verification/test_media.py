"""Files that an output names are those that were written: in a folder, on S3, in a folder of outputs."""

from __future__ import annotations

import datetime
import hashlib
import shutil

import helpers_s3
import pyarrow as pa
import pytest
from helpers_verify import check

from v2a_core import storage
from v2a_core.outputs import manifest
from v2a_core.outputs.parts import PartSettings, PartWriter
from v2a_core.storage import StorageAccess, s3
from v2a_core.tables.schema import INDEX
from v2a_core.verification import repair, verify
from workflows.cli.main import main


def soundtracks(folder, count=4):
    """An output as `v2a generate` writes it, of a few bytes."""
    made_by = manifest.open_output(str(folder), manifest.new("generate", identity={}, config={}, bundle={}, spaces={}))
    rows = []
    for number in range(count):
        name = f"{number}.mp4"
        row = {"source_id": name, "source_key": name, "source_uri": name, "source_name": name, "kind": "video"}
        row |= {"status": "ok", "recorded_at": datetime.datetime.now(datetime.UTC)}
        for side, suffix in (("audio", "wav"), ("video", "mp4")):
            path = f"{side}/{number}.{suffix}"
            content = f"the {side} of {number}".encode()
            storage.write_bytes(f"{folder}/{path}", content)
            row |= {f"{side}_path": path, f"{side}_sha256": hashlib.sha256(content).hexdigest()}
        storage.write_bytes(f"{folder}/candidates/{number}.wav", b"another")
        rows.append({**row, "loser_paths": [f"candidates/{number}.wav"]})
    writer = PartWriter(
        f"{folder}/index", INDEX, id_column="source_id", seen=set(), settings=PartSettings(),
        metadata=manifest.part_metadata(made_by),
    )  # fmt: skip
    writer.add(pa.Table.from_pylist(rows, schema=INDEX))
    writer.flush()
    manifest.close_output(str(folder), made_by, {"status": "done", "counts": {}}, writer.written)
    return folder


def test_files_are_checked_by_their_content_wherever_the_output_is_moved(tmp_path, capsys):
    output = shutil.move(soundtracks(tmp_path / "here"), tmp_path / "there")
    assert check(output).problems == []
    (output / "audio" / "0.wav").write_bytes(b"the audio of 1")  # swapped
    (output / "video" / "1.mp4").write_bytes(b"the video of")  # cut
    (output / "audio" / "2.wav").unlink()
    (output / "candidates" / "2.wav").unlink()
    assert main(["verify", str(output), "--repair"]) == 0
    told = capsys.readouterr().out
    assert "1 rows: audio_path: the file is not the one that was written (sha256): 0.mp4 (audio/0.wav)" in told
    assert "1 rows: video_path: the file is not the one that was written (sha256): 1.mp4 (video/1.mp4)" in told
    assert "1 rows: audio_path: there is no such file: 2.mp4 (audio/2.wav)" in told
    assert "1 rows: loser_paths: there is no such file: 2.mp4 (candidates/2.wav)" in told
    assert "3 rows taken out, 1 kept" in told
    assert "run the same `v2a generate` again: it makes anew what was taken out (at most 3 rows)" in told
    assert check(output).problems == [
        "manifest: the last run is 'repaired', not done: run the same `v2a generate` again"
    ]


def test_an_output_on_s3_is_checked_and_repaired_there(s3_server, tmp_path):
    helpers_s3.upload(s3_server, "verify-test", soundtracks(tmp_path / "out"))
    with storage.reach(StorageAccess(helpers_s3.reached(s3_server))):
        output = "s3://verify-test"
        assert verify(output).problems == []  # the child reaches the store as this process does
        storage.write_bytes(f"{output}/audio/0.wav", b"something else")
        storage.remove(f"{output}/video/1.mp4")
        assert [problem.partition("rows: ")[2][:10] for problem in check(output).problems] == [
            "audio_path",
            "video_path",
        ]
        repair(check(output))
        report = check(output)
        assert (report.rows, len(report.problems)) == (2, 1)
        (part,) = storage.list_files(f"{output}/index")
        storage.write_bytes(part, storage.read_bytes(part)[:-9])
        repair(check(output))
        assert storage.list_files(f"{output}/damaged") == [f"{output}/damaged/{part.rpartition('/')[2]}"]
        assert check(output).rows == 0
    s3._filesystem.cache_clear()


def test_a_folder_of_outputs_is_one_report(tmp_path):
    for name in ("soundtracks", "more"):
        soundtracks(tmp_path / name)
    assert check(tmp_path).problems == []
    (tmp_path / "more" / "audio" / "3.wav").unlink()
    storage.write_json(f"{tmp_path}/sweep.json", {"runs": [{"name": "more"}, {"name": "gone", "fingerprint": "f"}]})
    report = check(tmp_path)
    assert report.problems[0].startswith("more: part-")
    assert report.problems[1].startswith("gone: the table has this run, there is no such output")
    assert [said.split(": ")[0] for said in repair(report)] == [f"{tmp_path}/more"]


@pytest.mark.parametrize("status", ["done", "running"])
def test_an_interpolation_is_checked_by_the_files_that_its_manifest_names(tmp_path, status):
    made_by = manifest.open_output(
        str(tmp_path), manifest.new("interpolate", identity={}, config={}, bundle={}, spaces={})
    )
    (tmp_path / "step-00.wav").write_bytes(b"a sound")
    if status == "done":
        files = {"step-00.wav": hashlib.sha256(b"a sound").hexdigest()}
        manifest.close_output(str(tmp_path), made_by, {"status": "done", "counts": {}, "files": files})
    assert bool(check(tmp_path).problems) == (status == "running")
    (tmp_path / "step-00.wav").write_bytes(b"another")
    assert any("again" in problem for problem in check(tmp_path).problems)
