"""The entrypoint of KubeRay's jobs. tests/workflows/cluster_runtime/test_submit.py runs it on a real Ray."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from v2a_core.config import ConfigError
from v2a_core.outputs import lease
from workflows.cli import ray_job
from workflows.command.exit_codes import BAD_CONFIGURATION, DONE, FAILED, TOO_MANY_REJECTS


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Exit codes of the command, which does nothing but own its output, as every job does first."""
    codes: list[int] = []

    def run(argv: Sequence[str]) -> int:
        try:
            with lease.hold(argv[-1], "embed"):
                codes.append(DONE)
        except ConfigError:
            codes.append(BAD_CONFIGURATION)
        return codes[-1]

    monkeypatch.setattr(ray_job, "run", run)
    monkeypatch.setattr(lease, "DEAD_S", 3.0)  # longer than a busy machine may stand still
    monkeypatch.setattr(lease, "WATCH_S", 0.5)
    return codes


def lost(output: Path) -> Callable[[], None]:
    """Leaves the lease of a run on another machine that has ended without a word; returned: says a word for it."""
    with lease.hold(str(output), "embed"):
        (file,) = (output / lease.FOLDER).glob("*.json")
        record = json.loads(file.read_text())
    words = itertools.count()  # nothing is said in the future

    def write() -> None:
        there = {**record, "host": "lost-head", "machine": "another", "renewed": record["renewed"] + next(words) / 100}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(there))

    write()
    return write


def test_a_run_that_was_lost_with_its_head_is_waited_for(runs: list[int], tmp_path: Path) -> None:
    lost(tmp_path / "out")
    assert ray_job.main(["embed", "videos", "--output", str(tmp_path / "out")]) == DONE
    assert runs == [BAD_CONFIGURATION, DONE]


def test_a_run_that_is_at_work_is_left_alone(runs: list[int], tmp_path: Path) -> None:
    speak, over = lost(tmp_path / "out"), threading.Event()

    def work() -> None:
        while not over.wait(0.1):
            speak()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert ray_job.main(["embed", "videos", "--output", str(tmp_path / "out")]) == BAD_CONFIGURATION
    finally:
        over.set()
        thread.join()
    assert runs == [BAD_CONFIGURATION]


def test_without_an_owner_nothing_is_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lease, "DEAD_S", 1000.0)
    for code in (BAD_CONFIGURATION, TOO_MANY_REJECTS, FAILED, DONE):
        monkeypatch.setattr(ray_job, "run", lambda argv, code=code: code)
        assert ray_job.main(["embed", "videos", "--output", str(tmp_path / "none")]) == code
        assert ray_job.main(["embed"]) == code


def test_no_ray_no_jobs_to_stop(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:9")
    assert ray_job.main(["--stop-all"]) == DONE
    assert "nothing to stop" in capsys.readouterr().err
