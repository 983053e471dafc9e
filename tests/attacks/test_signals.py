"""Signals at bad moments: to the driver, to workers, to decoders; the rerun ends with what an undisturbed run has."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import helpers_attacks
import helpers_catalog
import numpy as np
import pytest
import soundfile
from helpers_attacks import EXACT, SEGMENTS, SOUND, arguments
from helpers_processes import below, command_of, job_environment, wait_until

from v2a_core.outputs.ledger import part_files
from v2a_core.verification import verify

COUNT = 8
ONE_BY_ONE = (
    "pools.sources_per_block=1", "pools.segments_per_batch=1", "pools.soundtracks_per_batch=1", "pools.decode_tasks=1",
    "decoder.time_limit_s=30",
)  # fmt: skip


class World:
    """A catalog, a mapper, an undisturbed output, and the same job in processes of its own."""

    def __init__(self, folder: Path) -> None:
        self.catalog = folder / "catalog"
        for index in range(COUNT):
            helpers_catalog.video(self.catalog / f"{index}.mp4", 1.0, hue=30 * index)
        self.mapper = helpers_attacks.small_mapper(folder)
        self.undisturbed = folder / "undisturbed"
        assert self.finish(self.undisturbed) == 0

    def finish(self, output: Path) -> int:
        return helpers_attacks.generate([self.catalog], output, self.mapper, *ONE_BY_ONE)

    @contextlib.contextmanager
    def running(self, output: Path) -> Iterator[subprocess.Popen[bytes]]:
        """The job in a process that joins the Ray of the tests; it is ended with the block."""
        import ray

        command = [sys.executable, "-m", "workflows.generate", str(self.catalog), "--output", str(output)]
        command += [
            "--mapper",
            self.mapper,
            "--models",
            "miniature",
            *arguments([*SEGMENTS, *SOUND, *EXACT, *ONE_BY_ONE]),
        ]
        address = ray.get_runtime_context().gcs_address
        with open(f"{output}.log", "ab") as log:
            process = subprocess.Popen(
                command, env=job_environment(RAY_ADDRESS=address), start_new_session=True, stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    def check(self, output: Path) -> None:
        """The same rows and sounds as the undisturbed run, each once, and nothing left over."""
        got, want = (
            {row["source_id"]: row for row in helpers_attacks.rows(place, "index")}
            for place in (output, self.undisturbed)
        )
        assert got.keys() == want.keys()
        for identity, row in want.items():
            mine = got[identity]
            assert mine["status"] == "ok"
            assert mine["audio_path"] == row["audio_path"]
            one, other = (soundfile.read(place / row["audio_path"])[0] for place in (output, self.undisturbed))
            np.testing.assert_allclose(one, other, atol=2e-3)
        for kind in ("audio", "video"):
            assert len([path for path in (output / kind).rglob("*") if path.is_file() and path.name[0] != "."]) == COUNT
        assert verify(str(output)).problems == []


@pytest.fixture(scope="module")
def world(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("signals"))


def parts(output: Path) -> int:
    return len(part_files(f"{output}/index"))


def workers() -> list[tuple[int, str]]:
    """Ray's workers and decoders of this machine that belong to this process's Ray."""
    mine = below(os.getpid())
    return [(pid, name) for pid in mine if (name := command_of(pid))]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"])
def test_driver(world: World, tmp_path: Path, name: str) -> None:
    """the driver gets a signal when some soundtracks are done; the rerun ends like an undisturbed run"""
    output = tmp_path / "output"
    with world.running(output) as process:
        wait_until(lambda: parts(output) >= 2, process, 200)
        assert process.poll() is None, Path(f"{output}.log").read_text()[-2000:]
        os.kill(process.pid, getattr(signal, name))
        process.wait(60)
    told = Path(f"{output}.log").read_text()
    assert process.returncode != 0
    if name in ("SIGINT", "SIGTERM"):
        assert process.returncode == 1
        assert "the same command goes on" in told
        assert "Traceback" not in told
    assert 0 < len(helpers_attacks.rows(output, "index")) <= COUNT
    assert world.finish(output) == 0
    world.check(output)


def test_kills_at_random_moments(world: World, tmp_path: Path) -> None:
    """SIGKILL of the driver at three random moments in a row, then the same command"""
    draw, output = random.Random(7), tmp_path / "output"
    for _ in range(3):
        with world.running(output) as process, contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(draw.uniform(2, 12))
    assert world.finish(output) == 0
    world.check(output)


@pytest.mark.parametrize("what", ["media.worker", "SeeStage", "GenerateStage", "GatherStage"])
def test_killed_workers(world: World, tmp_path: Path, what: str) -> None:
    """SIGKILL of a worker in mid-run: the run, or the same command again, ends like an undisturbed one; of the"""
    output = tmp_path / "output"
    victims: list[int] = []

    def is_due() -> bool:
        victims[:] = [pid for pid, command in workers() if what in command and "workflows" not in command]
        # What sees or gathers may be done with all videos, and gone, before the first soundtracks are written.
        return bool(victims) and (parts(output) >= 1 or what in ("SeeStage", "GatherStage"))

    with world.running(output) as process:
        wait_until(is_due, process, 200)
        assert victims
        with contextlib.suppress(ProcessLookupError):
            os.kill(victims[0], signal.SIGKILL)
        process.wait(250)
    if process.returncode:
        assert "the same command" in Path(f"{output}.log").read_text()
        assert world.finish(output) == 0
    world.check(output)


def test_stopped_decoder(world: World, tmp_path: Path) -> None:
    """SIGSTOP of a decoder in mid-run: it is ended at its limit, its file is tried again, nothing is lost"""
    output = tmp_path / "output"
    with world.running(output) as process:
        wait_until(lambda: parts(output) >= 1, process, 200)
        for pid, command in workers():
            if "v2a_core.media.worker" in command:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
        process.wait(250)
    if process.returncode:
        assert world.finish(output) == 0
    world.check(output)


def test_stopped_worker(world: World, tmp_path: Path) -> None:
    """SIGSTOP of every Ray worker for five seconds in mid-run: the run goes on when they do"""
    output, stopped = tmp_path / "output", []
    with world.running(output) as process:
        wait_until(lambda: parts(output) >= 1, process, 200)
        try:
            for pid, command in workers():
                if command.startswith("ray::"):
                    os.kill(pid, signal.SIGSTOP)
                    stopped.append(pid)
            time.sleep(5)
        finally:
            for pid in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        process.wait(250)
    assert process.returncode == 0, Path(f"{output}.log").read_text()[-2000:]
    world.check(output)
