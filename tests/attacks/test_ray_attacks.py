"""Attacks on what jobs run on: workers that never end or always die, other users of the machine, signals."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import helpers_catalog
import pyarrow as pa
import pytest
from helpers_processes import below, command_of, job_environment, wait_until
from ray.data import ActorPoolStrategy, TaskPoolStrategy

from v2a_core.compute.ids import pack
from v2a_core.outputs.ledger import part_files, read_columns
from v2a_core.stages.decode import DecodeSettings
from workflows.cli.main import main
from workflows.cluster_runtime import auth_token, restarts, session_folder
from workflows.embed import job as embed
from workflows.streaming.config import LimitSettings
from workflows.streaming.plan import from_tables
from workflows.streaming.summary import Tally
from workflows.streaming.watchdog import WorkersLostError, watch

EMBED = (
    "--models=miniature", "--set=segments.length_s=1.0", "--set=output.interval_s=0",
    "--set=pools.sources_per_block=1", "--set=pools.segments_per_batch=1",
)  # fmt: skip

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="takes the identity of another user")


def test_a_decoder_that_never_ends(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A decoder that hangs for ever under limits that are too wide to notice: the run ends and names the file"""
    monkeypatch.setattr(embed, "DecodeSettings", functools.partial(DecodeSettings, decoder="planted_decoders:by_name"))
    for name in ("good", "hang"):
        helpers_catalog.video(tmp_path / "catalog" / f"{name}.mp4", 1.0)
    settings = ["--set=decoder.time_limit_s=500", "--set=decoder.confine=false", "--set=limits.stalled_s=40"]
    output = tmp_path / "output"
    assert main(["embed", str(tmp_path / "catalog"), "--output", str(output), *EMBED, *settings]) == 1
    said = capsys.readouterr().err
    assert "nothing has moved for 40 s (limits.stalled_s): 1 of 2 sources are unfinished: hang.mp4; at work" in said
    assert "DecodeStage" in said
    assert "good" not in said
    written = read_columns(f"{output}/rows", ["source_name"])
    assert written is not None
    assert written["source_name"].to_pylist() == ["good.mp4"]


@pytest.mark.parametrize("kind", ["task", "actor"])
def test_work_that_always_ends_its_process(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A block that ends its worker's process each time it is tried: the run ends with a sentence"""
    monkeypatch.setattr(restarts, "TASK_RETRIES", 2)
    trace = tmp_path / "tries"

    def deadly(batch: pa.Table) -> pa.Table:
        with trace.open("a") as file:
            file.write("x")
        os._exit(1)

    class Deadly:
        def __call__(self, batch: pa.Table) -> pa.Table:
            return deadly(batch)

    data = from_tables([pa.table({"number": [0]})])
    if kind == "task":
        data = data.map_batches(deadly, num_cpus=0.2, compute=TaskPoolStrategy(size=1), batch_format="pyarrow")
    else:
        data = data.map_batches(Deadly, num_cpus=0.2, compute=ActorPoolStrategy(size=1), batch_format="pyarrow")
    restarts.bound_restarts(data)
    tally = Tally("embed", planned=1)
    tally.expect(pack(["id"]), ["poison.mp4"])
    with pytest.raises(WorkersLostError) as told, watch(data, tally, LimitSettings()):
        list(data.iter_batches(batch_size=None))
    assert re.search("workers ended before their work was done.*1 of 1 sources .*poison.mp4", str(told.value))
    assert trace.read_text() == "xxx"


def test_memory_that_never_suffices(tmp_path: Path) -> None:
    """Ray's memory monitor ends every worker, again and again: the run ends with a sentence"""
    helpers_catalog.video(tmp_path / "catalog" / "one.mp4", 1.0)
    command = [sys.executable, "-m", "workflows.embed", str(tmp_path / "catalog"), "--output", str(tmp_path / "output")]
    done = subprocess.run(
        [*command, *EMBED, "--set=limits.stalled_s=20"],
        env=job_environment(RAY_memory_usage_threshold="0.01", RAY_memory_monitor_refresh_ms="100"),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    said = done.stderr.splitlines()[-1]
    assert re.search("v2a: failed: .*1 of 1 sources are unfinished: one.mp4", said), done.stderr


# Another user of the machine


@pytest.fixture(scope="module")
def job_of_mine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[bytes], Path, Path]]:
    """A job with a Ray of its own, at work: its process, Ray's session folder, its output."""
    folder = tmp_path_factory.mktemp("mine")
    for index in range(60):
        helpers_catalog.video(folder / "catalog" / f"{index}.mp4", 2.0, hue=4 * index)
    command = [sys.executable, "-m", "workflows.embed", str(folder / "catalog"), "--output", str(folder / "output")]
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, *EMBED], env=job_environment(), start_new_session=True, stdout=file, stderr=file
        )
    wait_until(lambda: part_files(f"{folder}/output/rows"), process, 240)
    assert process.poll() is None, log.read_text()
    (raylet,) = (pid for pid in below(process.pid) if "/raylet/raylet" in command_of(pid))
    (session,) = re.findall(r"--session_dir=(\S+)", command_of(raylet))
    yield process, Path(session), folder
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@needs_root
def test_another_user_enters_the_session_folder(job_of_mine: tuple[subprocess.Popen[bytes], Path, Path]) -> None:
    """Another user lists, replaces and moves what is in the session folder of a running job"""
    _, session, _ = job_of_mine
    assert stat.S_IMODE(session.parent.parent.stat().st_mode) == 0o700
    closed = session.parent.parent
    tries: dict[str, Callable[[], object]] = {
        "list": lambda: os.listdir(session),
        "write": lambda: (session / "runtime_resources" / "planted.py").write_text(""),
        "move the sockets": lambda: (session / "sockets").rename(session / "moved"),
        "connect": lambda: socket.socket(socket.AF_UNIX).connect(str(session / "sockets" / "raylet")),
        "move the session": lambda: closed.rename(closed.with_name("v2a-moved")),
    }
    assert as_nobody(tries) == []


def test_the_ports_of_a_job_are_on_the_loopback(job_of_mine: tuple[subprocess.Popen[bytes], Path, Path]) -> None:
    """A Ray that a job starts on this machine is reached over the network: /metrics, agents, workers"""
    process, _, _ = job_of_mine
    inodes = {
        os.readlink(link)
        for pid in [process.pid, *below(process.pid)]
        for link in Path(f"/proc/{pid}/fd").glob("*")
        if link.is_symlink()
    }
    listening = [
        line.split()[1].rpartition(":")[0]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text().splitlines()[1:]
        if line.split()[3] == "0A" and f"socket:[{line.split()[9]}]" in inodes
    ]
    assert len(listening) > 3
    assert set(listening) <= {"0100007F", "0000000000000000FFFF00000100007F", "0" * 24 + "01000000"}


def test_a_job_is_asked_to_end(job_of_mine: tuple[subprocess.Popen[bytes], Path, Path]) -> None:
    """SIGTERM in the middle of a job, with SIGKILL 3 s behind it as from `ray job stop`: what has arrived is written"""
    process, _, folder = job_of_mine
    process.send_signal(signal.SIGTERM)
    time.sleep(3.0)
    written = read_columns(f"{folder}/output/rows", ["segment_id"])
    assert process.wait(30) == 1
    after = read_columns(f"{folder}/output/rows", ["segment_id"])
    assert written is not None
    assert after is not None
    assert 0 < written.num_rows == after.num_rows < 120
    said = [line for line in (folder / "log").read_text().splitlines() if not line.startswith("{")]
    assert said == ["v2a: stopped; what was written is kept, the same command goes on from there"]


def test_a_token_that_every_user_could_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user reads the token of a Ray that a job starts"""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    auth_token.keep_private()
    token = tmp_path / ".ray" / "auth_token"
    made = token.read_text()
    assert len(made) >= 32
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    token.chmod(0o644)  # as Ray itself leaves it
    auth_token.keep_private()
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert token.read_text() == made


# The folders of sessions


def test_folders_of_dead_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders that dead jobs left, one of a living job, one planted as a link: only what is long dead is removed"""
    monkeypatch.setattr(session_folder, "_base", lambda: tmp_path)
    alive = Path(session_folder.make()).parent
    dead, fresh = tmp_path / "v2a-ray-dead0000", tmp_path / "v2a-ray-fresh000"
    for folder, age_s in ((dead, 7200.0), (fresh, 60.0)):
        log = folder / "ray" / "session_1" / "logs" / "raylet.out"
        log.parent.mkdir(parents=True)
        log.touch()
        os.utime(log, times=(time.time() - age_s,) * 2)
        (folder / "lock").touch()
    unknown = tmp_path / "v2a-ray-unknown0"
    for folder in (unknown, tmp_path / "elsewhere"):
        folder.mkdir()
        (folder / "kept").touch()
    (tmp_path / "elsewhere" / "lock").touch()
    (tmp_path / "v2a-ray-planted0").symlink_to(tmp_path / "elsewhere")
    new = Path(session_folder.make()).parent
    assert not dead.exists()
    assert all(path.exists() for path in (alive, fresh, unknown, new, tmp_path / "elsewhere" / "kept"))
    assert stat.S_IMODE(new.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_a_temporary_folder_that_others_can_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int) -> None:
    """RAY_TMPDIR in which others could move the session's folder away"""
    base = Path(tempfile.mkdtemp(prefix="b", dir="/tmp"))
    try:
        monkeypatch.setenv("RAY_TMPDIR", str(base))
        assert session_folder._base() == base
        base.chmod(mode)
        assert session_folder._base() != base
        base.chmod(mode | stat.S_ISVTX)
        assert session_folder._base() == base
        monkeypatch.setenv("RAY_TMPDIR", str(base / ("long" * 10)))
        assert session_folder._base() != base / ("long" * 10)
    finally:
        base.rmdir()


def as_nobody(tries: dict[str, Callable[[], object]]) -> list[str]:
    """Try things as another user; those that were not denied."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        for name, attack in tries.items():
            try:
                attack()
                told = name
            except PermissionError:
                continue
            except OSError as error:
                told = f"{name}: {error}"
            os.write(write, f"{told}\n".encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        told = pipe.read().splitlines()
    assert os.waitpid(child, 0)[1] == 0
    return told
