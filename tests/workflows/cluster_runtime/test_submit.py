"""The README's lines for a cluster, run on a real head node on this machine's loopback, with token authentication.

What differs from the README is told apart: free ports, a home of its own, and files of the test for `/data`.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest

from v2a_core.outputs.ledger import read_columns

ROOT = Path(__file__).parents[3]
SCRIPTS = sysconfig.get_path("scripts")
START_S, JOB_S = 60.0, 200.0

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ends its head node's processes through /proc")


def readme_line(start: str) -> str:
    """The first line of the README that begins so, without its comment."""
    lines = (line.strip() for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines())
    return next(line for line in lines if line.startswith(start)).partition("  #")[0].rstrip()


@dataclass(frozen=True)
class Head:
    """A running head node.

    Attributes:
        address: Of its job server.
        environment: What a command needs to talk to it: scripts on PATH and the token.
    """

    address: str
    environment: dict[str, str]

    def ray(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a `ray` command."""
        return self._run("ray", *arguments, environment=self.environment)

    @staticmethod
    def _run(*command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=JOB_S,
            check=False,
        )

    def submit_script(self, data: Path, *more: str, job: str) -> subprocess.CompletedProcess[str]:
        """Submit the README's first job, with further arguments."""
        script, *words = shlex.split(readme_line("cluster/submit.sh").replace("/data/", f"{data}/"))
        environment = {**self.environment, "RAY_API_SERVER_ADDRESS": self.address}
        return self._run(script, f"--submission-id={job}", *words, *more, environment=environment)

    def submit(self, *entrypoint: str, job: str) -> subprocess.CompletedProcess[str]:
        """Submit a command by hand."""
        options = ["--address", self.address, "--submission-id", job, "--working-dir", "."]
        return self.ray("job", "submit", *options, "--", *entrypoint)


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    # Ray's socket paths must stay below 108 characters, which pytest's own folders would not.
    folder = Path(tempfile.mkdtemp(prefix="v2a-", dir="/tmp"))
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("RAY_")},
        "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),  # for the token and Ray's own files
        "RAY_AUTH_MODE": "token",
        "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_NUM_THREADS": "1",
    }
    address, flags = _ports()
    lines = [readme_line("export RAY_AUTH_MODE"), readme_line("(umask 077; ray get-auth-token")]
    lines += [readme_line("export RAY_TMPDIR"), f"exec {readme_line('ray start --head')} {flags}"]
    log = folder / "head.log"
    with log.open("wb") as file:
        command = ["bash", "-e", "-c", "\n".join(lines)]
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True)
    try:
        _wait_until_up(address, process, log)
        yield Head(address, environment)
    finally:
        _stop(process)
        shutil.rmtree(folder, ignore_errors=True)


def _ports() -> tuple[str, str]:
    """Address of the job server, and options that keep a head apart from others on this machine."""
    ports = _free_ports(6)
    options = {
        "num-cpus": 2,
        "num-gpus": 0,
        "object-store-memory": 300 * 2**20,
        "port": ports[0],
        "dashboard-port": ports[1],
        "dashboard-agent-listen-port": ports[2],
        "dashboard-agent-grpc-port": ports[3],
        "ray-client-server-port": ports[4],
        "metrics-export-port": ports[5],
    }
    return f"http://127.0.0.1:{ports[1]}", " ".join(
        ["--block", *(f"--{name}={value}" for name, value in options.items())]
    )


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _wait_until_up(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/api/version", timeout=2)
        except urllib.error.HTTPError:  # it answers, and wants a token
            return
        except (OSError, TimeoutError):
            time.sleep(0.2)
    pytest.fail(f"the head node did not come up in {START_S:.0f} s:\n{log.read_text()}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End this head node and everything it started, and no other Ray: `ray stop` would end them all."""
    while left := _in_session(process.pid):  # again: one may have started another meanwhile
        for each in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        time.sleep(0.05)
    process.wait()


def _in_session(session: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(folder.name))
    return found


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """A folder with one silent video of two seconds."""
    folder = tmp_path / "videos"
    folder.mkdir()
    with av.open(str(folder / "grey.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=8, width=64, height=48, pix_fmt="yuv420p")
        for shade in range(16):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 8 * shade, np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return folder


def test_token_is_needed(head: Head) -> None:
    url = f"{head.address}/api/jobs/"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(url, timeout=10)
    token = (Path(head.environment["HOME"]) / ".ray" / "auth_token").read_text().strip()
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})) as answer:
        assert answer.status == 200


def test_no_other_user_reaches_the_files_of_the_cluster(head: Head) -> None:
    folder = Path(head.environment["HOME"]) / ".v2a"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert list(folder.glob("ray/session_*"))


def test_a_job_succeeds(head: Head, tmp_path: Path, catalog: Path) -> None:
    output = str(tmp_path / "embeddings")
    done = head.submit_script(tmp_path, "--models", "miniature", job="good")
    assert done.returncode == 0, done.stdout
    rows = read_columns(f"{output}/rows", ["status", "source_uri"])
    assert rows is not None, done.stdout
    assert rows["status"].to_pylist() == ["ok"]
    assert rows["source_uri"].to_pylist()[0].endswith("grey.mp4")
    logs = head.ray("job", "logs", "--address", head.address, "good").stdout
    assert "nothing rejected" in logs
    assert output in logs


@pytest.mark.slow
def test_a_job_that_fails_makes_the_command_fail(head: Head, tmp_path: Path, catalog: Path) -> None:
    output = str(tmp_path / "embeddings")
    misspelt = ["--models", "miniature", "--set", "frames.frames_per_secnd=2"]
    failed = head.submit("v2a", "embed", str(catalog), "--output", output, *misspelt, job="bad")
    assert failed.returncode == 1, failed.stdout
    assert "frames_per_secnd" in failed.stdout
    assert "frames_per_second" in failed.stdout
