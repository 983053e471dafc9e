"""Which errors of storage end a run, and what a person is told."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
from pathlib import Path

import fsspec
import helpers_s3
import pyarrow as pa
import pytest
from helpers_s3 import Faults, misbehaving, reached

from v2a_core import storage
from v2a_core.catalog import Source
from v2a_core.media.config import FinishSettings, GuardSettings
from v2a_core.media.types import MediaError
from v2a_core.outputs.parts import PartSettings, PartWriter
from v2a_core.stages.finish import FinishJob, finish_row
from v2a_core.storage import StorageAccess, s3, trouble
from v2a_core.storage.trouble import StorageStopError


@pytest.fixture(autouse=True)
def _put_back():
    yield
    s3._filesystem.cache_clear()


@pytest.mark.parametrize(
    ("number", "reading", "writing"),
    [
        (errno.ENOSPC, True, True),
        (errno.EDQUOT, True, True),
        (errno.EROFS, True, True),
        (errno.EIO, False, True),
        (errno.EACCES, False, True),
        (errno.EPERM, False, True),
        (errno.ESTALE, False, True),
        (errno.ENOTCONN, False, True),
        (errno.ENOENT, False, False),
        (errno.ECONNRESET, False, False),
    ],
)
def test_what_the_next_file_would_meet_too_stops_a_run(number, reading, writing):
    error = OSError(number, os.strerror(number), "/out/x.wav")
    assert trouble.stops_run(error, writing=False) is reading
    assert trouble.stops_run(error, writing=True) is writing


def test_a_person_is_told_what_to_do():
    stopped = pickle.loads(pickle.dumps(trouble.stop(OSError(errno.ENOSPC, "No space left on device", "/out/x.wav"))))
    assert isinstance(stopped, StorageStopError)
    assert str(stopped) == (
        "no room left: [Errno 28] No space left on device: '/out/x.wav'; what was made is kept, "
        "the same command goes on from there when there is room"
    )
    denied = trouble.stop(PermissionError("Forbidden"), "s3://bucket/x.wav")
    assert str(denied).startswith("writing is denied: s3://bucket/x.wav: Forbidden;")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_no_room_for_a_copy_stops_a_run_and_a_denied_source_does_not(monkeypatch, number):
    fsspec.filesystem("memory").pipe("/trouble/v.mp4", b"video")

    def fail(uri, target):
        raise OSError(number, os.strerror(number), str(target))

    monkeypatch.setattr(storage, "download", fail)
    expected = StorageStopError if number == errno.ENOSPC else MediaError
    with pytest.raises(expected), Source("memory://trouble/v.mp4", "v.mp4", "video").fetch():
        pass


def test_what_a_store_forbids_is_a_lost_source_when_read_and_the_end_when_written(s3_server, tmp_path, reach):
    (tmp_path / "v.mp4").write_bytes(b"video" * 1000)
    helpers_s3.upload(s3_server, "trouble-test", tmp_path)
    uri = "s3://trouble-test/v.mp4"
    with misbehaving(s3_server, Faults(denied=(("GET", "v.mp4"), ("PUT", "out")))) as proxy:
        reach(StorageAccess(reached(proxy.url, attempts=1)))
        with pytest.raises(MediaError) as lost, Source(uri, "v.mp4", "video").fetch():
            pass
        assert (lost.value.stage, lost.value.error_type) == ("fetch", "PermissionError")
        with pytest.raises(PermissionError) as refused:
            storage.write_bytes("s3://trouble-test/out/x.wav", b"sound")
    assert trouble.stops_run(refused.value, writing=True)
    reach(StorageAccess(reached(s3_server, attempts=1)))
    with pytest.raises(FileNotFoundError) as gone:
        storage.write_bytes("s3://trouble-test-none/x.wav", b"sound")
    assert trouble.stops_run(gone.value, writing=True)


def test_a_store_that_is_slow_for_one_file_does_not_stop_a_run(s3_server, reach):
    with misbehaving(s3_server, Faults(slow_down=1.0)) as proxy:
        reach(StorageAccess(reached(proxy.url, attempts=1)))
        with pytest.raises(OSError, match="reduce") as refused:
            storage.write_bytes("s3://trouble-test/out/x.wav", b"sound")
    assert not trouble.stops_run(refused.value, writing=True)


_FULL = """
import errno, sys
from pathlib import Path
import numpy as np
from v2a_core import storage
from v2a_core.storage import trouble
from v2a_core.media.write import write_audio
sound = np.zeros(400_000, np.float32)
for name in ("x.wav", "x.flac", "x.ogg", "x.m4a"):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 400_000).astype(np.float32)
    try:
        with storage.writing(f"{sys.argv[1]}/{name}") as path:
            write_audio(path, noise, 16_000, as_it_comes(name[2:]))
    except OSError as error:
        print(name, errno.errorcode[error.errno], trouble.stops_run(error, writing=True))
print(sorted(path.name for path in Path(sys.argv[1]).iterdir()))
"""


def test_a_full_disk_is_told_in_one_way_whatever_library_writes(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    inside = f'mount -t tmpfs -o size=48k tmpfs {small} && exec {sys.executable} -c "$0" {small}'
    if subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", small], capture_output=True).returncode:
        pytest.skip("no mount namespaces here")
    ran = subprocess.run(["unshare", "-rm", "sh", "-c", inside, _FULL], capture_output=True, text=True, cwd=Path.cwd())
    told = "".join(f"x.{suffix} ENOSPC True\n" for suffix in ("wav", "flac", "ogg", "m4a"))
    assert ran.stdout == f"{told}[]\n", ran.stderr


def test_a_part_is_not_written_beside_an_output_that_was_renamed(tmp_path):
    output = tmp_path / "out"
    storage.write_json(str(output / "manifest.json"), {})
    schema = pa.schema([("source_id", pa.string()), ("split", pa.string()), ("label", pa.string())])
    rows = pa.table({"source_id": ["a"], "split": ["train"], "label": ["dog"]}, schema)
    settings = PartSettings(interval_s=3600)
    writer = PartWriter(f"{output}/rows", schema, id_column="source_id", seen=set(), settings=settings, metadata={})
    output.rename(tmp_path / "renamed")
    with pytest.raises(StorageStopError, match="was renamed or removed while it was written"):
        writer.flush()
    assert not output.exists()
    (tmp_path / "renamed").rename(output)
    writer._buffer = [rows]
    writer.flush()
    assert len(writer.written) == 1


def test_a_soundtrack_is_not_written_beside_an_output_that_was_renamed(tmp_path):
    job = FinishJob(
        str(tmp_path / "out"), FinishSettings(), {"program": "", "bundle": "", "mapper": ""}, 0, GuardSettings()
    )
    with pytest.raises(StorageStopError, match="was renamed or removed"):
        finish_row({"status": "ok"}, job)
    assert not (tmp_path / "out").exists()
