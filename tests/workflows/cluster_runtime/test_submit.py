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
        session: Of its processes, as the kernel numbers it.
        metrics_port: Where it serves `/metrics`.
    """

    address: str
    environment: dict[str, str]
    session: int
    metrics_port: int

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
    address, metrics_port, flags = _ports()
    lines = [readme_line("export RAY_AUTH_MODE"), readme_line("(umask 077; ray get-auth-token")]
    lines += [readme_line("export RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"), readme_line("export RAY_TMPDIR")]
    lines += [f"exec {readme_line('ray start --head')} {flags}"]
    log = folder / "head.log"
    with log.open("wb") as file:
        command = ["bash", "-e", "-c", "\n".join(lines)]
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True)
    try:
        _wait_until_up(address, process, log)
        yield Head(address, environment, process.pid, metrics_port)
    finally:
        _stop(process)
        shutil.rmtree(folder, ignore_errors=True)


def _ports() -> tuple[str, int, str]:
    """Address of the job server, port of the metrics, and options that keep a head apart from others here."""
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
    flags = ["--block", *(f"--{name}={value}" for name, value in options.items())]
    return f"http://127.0.0.1:{ports[1]}", ports[5], " ".join(flags)


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


def test_nothing_listens_but_on_the_loopback(head: Head) -> None:
    """The dashboard, the job server, `/metrics` and Ray's own ports: by default `/metrics` is on all addresses."""
    deadline = time.monotonic() + START_S
    while f"{head.metrics_port:04X}" not in {place.partition(":")[2] for place in _listening(head.session)}:
        assert time.monotonic() < deadline, "no metrics are served"
        time.sleep(0.2)
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    assert {place.partition(":")[0] for place in _listening(head.session)} <= loopback


def _listening(session: int) -> Iterator[str]:
    """Addresses, as the kernel writes them, on which processes of a session listen."""
    inodes = set()
    for process in _in_session(session):
        for file in Path(f"/proc/{process}/fd").glob("*"):
            with contextlib.suppress(OSError):
                inodes.add(os.readlink(file).removeprefix("socket:[").removesuffix("]"))
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                yield fields[1]


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


# What KubeRay would do: a Ray job that has failed is tried again (up to `backoffLimit`), one that was stopped is not.
# Its controller, at 1.5.1 as at 1.7.0: a RayJob whose Ray job has ended is Failed after FAILED, else Complete; only
# Failed is tried again.


def ray_job(head: Head, *arguments: str, job: str) -> tuple[str, str]:
    """Submit the entrypoint of cluster/kubernetes; status and log of the Ray job that it was."""
    head.submit("python", "-m", "workflows.cli.ray_job", *arguments, job=job)
    status = head.ray("job", "status", "--address", head.address, job).stdout
    return status, head.ray("job", "logs", "--address", head.address, job).stdout


@pytest.mark.slow
def test_a_job_that_would_end_so_again_is_stopped_and_not_failed(head: Head, tmp_path: Path, catalog: Path) -> None:
    command = ["embed", str(catalog), "--output", str(tmp_path / "out"), "--models", "miniature"]
    status, log = ray_job(head, *command, "--set", "frames.frames_per_secnd=2", job="final")
    assert "was stopped" in status, log
    assert "frames_per_secnd" in log
    assert "exit code 2: the same command would end so again" in log


@pytest.mark.slow
def test_unknown_arguments_and_a_catalog_without_anything_good_are_final_too(head: Head, tmp_path: Path) -> None:
    status, log = ray_job(head, "embed", job="arguments")
    assert "was stopped" in status, log
    assert "exit code 2: " in log
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    command = ["embed", str(tmp_path / "broken.mp4"), "--output", str(tmp_path / "out"), "--models", "miniature"]
    status, log = ray_job(head, *command, job="rejects")
    assert "was stopped" in status, log
    assert "exit code 3: " in log


@pytest.mark.slow
def test_a_job_that_may_do_better_next_time_has_failed_and_one_that_is_done_succeeded(
    head: Head, tmp_path: Path, catalog: Path
) -> None:
    command = ["embed", str(catalog), "--output", str(tmp_path / "out"), "--models", "miniature"]
    assert "succeeded" in ray_job(head, *command, job="done")[0]
    # Exit code 1: a segment that waits for ever, as a mount that hangs does.
    status, log = ray_job(head, *command[:3], "/proc/none/out", *command[4:], job="failed")
    assert "failed" in status, log


@pytest.mark.slow
def test_what_runs_is_stopped_before_a_head_goes(head: Head, tmp_path: Path) -> None:
    waiting = ["python", "-c", "import time; print('begun', flush=True); time.sleep(600)"]
    options = ["--address", head.address, "--no-wait", "--submission-id", "waits"]
    assert head.ray("job", "submit", *options, "--", *waiting).returncode == 0
    environment = {**head.environment, "RAY_API_SERVER_ADDRESS": head.address}
    command = [sys.executable, "-m", "workflows.cli.ray_job", "--stop-all"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "was stopped" in head.ray("job", "status", "--address", head.address, "waits").stdout
