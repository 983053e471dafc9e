"""One run at a time owns an output: on disks and on S3, with rivals, dead owners and zombies."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import helpers_s3
import helpers_trouble
import pytest

from v2a_core import storage
from v2a_core.outputs import lease
from v2a_core.outputs.lease import LeaseLostError, OutputInUseError, hold
from v2a_core.storage import StorageAccess


@pytest.fixture(params=["disk", "s3"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "disk":
        yield str(tmp_path / "out")
        return
    server = request.getfixturevalue("s3_server")
    bucket = f"leases-{time.time_ns()}"
    helpers_s3.upload(server, bucket, tmp_path)
    with storage.reach(StorageAccess(helpers_s3.reached(server))):
        yield f"s3://{bucket}/out"


def record(output: str) -> dict[str, object]:
    """Of the highest number, which owns: a robbed run that was just writing its own leaves a lower one."""
    uri = max(storage.list_files(storage.join(output, lease.FOLDER)))
    return {"uri": uri, **storage.read_json(uri)}


def change(output: str, **values: object) -> None:
    held = record(output)
    storage.write_json(str(held.pop("uri")), {**held, **values})


def test_a_second_run_is_told_whose_the_output_is(output: str) -> None:
    with hold(output, "embed"):
        started = time.monotonic()
        with pytest.raises(OutputInUseError, match=r"`v2a embed`: process \d+ on \S+, begun \d s ago.*--steal"):
            hold(output, "generate").__enter__()
        assert time.monotonic() - started < 10
    with hold(output, "embed"):
        pass


def test_of_an_output_that_never_came_to_be_nothing_is_left(output: str, tmp_path: Path) -> None:
    with hold(output, "embed"):
        assert record(output)["job"] == "embed"
    assert not storage.exists(output)
    storage.write_json(storage.join(output, "manifest.json"), {})
    with hold(output, "embed"):
        pass
    assert record(output)["released"]


def test_on_a_full_disk_a_lease_is_given_free_too(tmp_path: Path) -> None:
    with helpers_trouble.small_disk(tmp_path / "disk", "1m", "nr_inodes=8") as disk:
        output = str(disk / "output")
        with hold(output, "embed"):
            (disk / "output" / "manifest.json").write_text("{}")
            with contextlib.suppress(OSError):
                for number in range(8):
                    (disk / f"filler{number}").touch()
            with pytest.raises(OSError, match="No space left"):
                (disk / "one more").touch()
        helpers_trouble.grow(disk, "nr_inodes=100")
        with hold(output, "generate"):
            pass


def test_of_many_that_begin_at_once_one_owns_it(output: str) -> None:
    began, refused = threading.Barrier(8), []
    owners: list[int] = []
    access = storage.in_use()

    def begin(number: int) -> None:
        with storage.reach(access):
            began.wait()
            try:
                with hold(output, "embed"):
                    owners.append(number)
                    time.sleep(1.0)
            except OutputInUseError:
                refused.append(number)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(owners) == 1
    assert len(refused) == 7


def test_a_killed_owner_of_this_machine_holds_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, time; from v2a_core.outputs.lease import hold\n"
        "with hold(sys.argv[1], 'embed'): print('mine', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "mine\n"
    with pytest.raises(OutputInUseError, match=f"process {process.pid} "), hold(str(tmp_path), "embed"):
        pass
    process.kill()
    process.wait()
    started = time.monotonic()
    with hold(str(tmp_path), "embed"):
        assert time.monotonic() - started < 5


@pytest.mark.parametrize("ahead_s", [-1000.0, 1000.0])
def test_an_owner_elsewhere_that_is_silent_is_taken_for_dead(
    output: str, monkeypatch: pytest.MonkeyPatch, ahead_s: float
) -> None:
    monkeypatch.setattr(lease, "WATCH_S", 0.5)
    with hold(output, "embed") as dead:
        # Its clock says something else than ours, whether it is dead or not.
        change(output, machine="another", host="there", renewed=time.time() + ahead_s)
        with hold(output, "embed"), pytest.raises(LeaseLostError, match="taken over by another run"):
            dead.check()


def test_an_owner_elsewhere_whose_clock_is_wrong_is_heard(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "WATCH_S", 5.0)
    with hold(output, "embed"):
        change(output, machine="another", host="there", renewed=time.time() - 1000)
        access, stirred = storage.in_use(), threading.Event()

        def stir() -> None:
            with storage.reach(access):
                while not stirred.wait(0.2):
                    change(output, renewed=time.time() - 999 + time.monotonic() % 1)

        thread = threading.Thread(target=stir)
        thread.start()
        with pytest.raises(OutputInUseError, match="on there"), hold(output, "embed"):
            pass
        stirred.set()
        thread.join()


def test_a_lease_is_renewed(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW_S", 0.1)
    with hold(output, "embed"):
        first = record(output)["renewed"]
        end = time.monotonic() + 10
        while record(output)["renewed"] == first and time.monotonic() < end:
            time.sleep(0.1)
        assert record(output)["renewed"] != first


def test_who_steals_owns_it_and_the_robbed_one_notices(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW_S", 0.1)
    storage.write_json(storage.join(output, "manifest.json"), {})
    with hold(output, "embed") as robbed:
        with hold(output, "embed", steal=True) as thief:
            time.sleep(0.5)  # renewals of the robbed one
            thief.check()
            with pytest.raises(LeaseLostError):
                robbed.check()
        # The thief has ended, and given it free: the robbed one still owns nothing.
        with pytest.raises(LeaseLostError):
            robbed.check()
    assert record(output)["released"]


def test_what_is_no_record_holds_nothing_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "WATCH_S", 0.5)
    folder = tmp_path / lease.FOLDER
    folder.mkdir()
    (folder / "00000001.json").write_text("{")
    (folder / "other.txt").write_text("")
    with hold(str(tmp_path), "embed"):
        assert json.loads((folder / "00000002.json").read_text())["job"] == "embed"
