"""`v2a generate` that is killed, and run again, ends with the files and the samples of an undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import helpers_adapter
import helpers_catalog
import helpers_predictor
import pytest
from helpers_outputs import assert_same_soundtracks, index_rows
from helpers_processes import wait_until

from v2a_core.models import load_bundle
from v2a_core.outputs.ledger import part_files

SETTINGS = [
    "--set=segments.length_s=1.0", "--set=frames.frames_per_second=2.0", "--set=output.interval_s=0",
    "--set=pools.sources_per_block=1", "--set=pools.segments_per_batch=1", "--set=pools.soundtracks_per_batch=1",
    "--set=generator.num_inference_steps=2", "--set=generator.precision=fp32", "--set=encoders.precision=fp32",
]  # fmt: skip
MOMENTS = 20


class World:
    """A catalog, a mapper, and the job on them."""

    def __init__(self, folder: Path, sources: int, timing: str = "off") -> None:
        self.folder, self.sources = folder, sources
        local = load_bundle("miniature").resolve()
        self._options = SETTINGS
        if timing != "off":
            predictor = helpers_predictor.random_predictor(folder / "predictor", local)
            adapter = helpers_adapter.random_adapter(folder / "adapter", local)
            self._options = [*SETTINGS, "--timing", timing, "--adapter", str(adapter)]
            self._options += [f"--set=predictor.weights={predictor}"]
        for index in range(sources):
            # The same name in every folder.
            helpers_catalog.video(folder / "catalog" / str(index) / "clip.mp4", 1.6, hue=25 * index)
        self._mapper = helpers_catalog.random_mapper(folder / "mapper", local)

    def start(self, output: Path) -> subprocess.Popen[bytes]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        command = [sys.executable, "-m", "workflows.generate", str(self.folder / "catalog"), "--output", str(output)]
        command += ["--mapper", self._mapper, "--models", "miniature", *self._options]
        environment = {**clean, "OMP_NUM_THREADS": "1"}
        with output.with_suffix(".log").open("ab") as log:
            return subprocess.Popen(command, env=environment, start_new_session=True, stdout=log, stderr=log)

    def finish(self, output: Path) -> float:
        started = time.monotonic()
        assert self.start(output).wait(timeout=900) == 0
        return time.monotonic() - started


def kill(process: subprocess.Popen[bytes]) -> None:
    """The driver at once; Ray's processes on this machine end with it."""
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("timing", ["off", "gru"])
def test_sigkill_half_way_then_the_same_command(tmp_path, timing):
    world = World(tmp_path, 5, timing)
    killed = world.start(tmp_path / "killed")
    wait_until(lambda: part_files(str(tmp_path / "killed" / "index")), killed)
    assert killed.poll() is None, (tmp_path / "killed.log").read_text()[-2000:]
    kill(killed)
    assert 0 < len(index_rows(tmp_path / "killed")) < 5
    world.finish(tmp_path / "killed")
    world.finish(tmp_path / "undisturbed")
    assert_same_soundtracks(tmp_path / "killed", tmp_path / "undisturbed", 5)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("timing", "moments"), [("off", MOMENTS), ("gru", MOMENTS // 5)])
def test_sigkill_at_random_moments(tmp_path, timing, moments):
    """Each moment on an output of its own: none of them finds the work of another one done.

    Most of a short job is its start, so every fourth kill comes at any time, and the others soon after one of the
    rows, from the first to the last but one.
    """
    count = 8
    world = World(tmp_path, count, timing)
    undisturbed = tmp_path / "undisturbed"
    length_s = world.finish(undisturbed)
    draw = random.Random(0)
    half_done = 0
    for moment in range(moments):
        output = tmp_path / f"killed-{moment}"
        process = world.start(output)
        if moment % 4:
            wait_for_rows(process, output, draw.randrange(1, count))
            time.sleep(draw.uniform(0.0, 0.2))
        else:
            time.sleep(draw.uniform(0.0, 1.0) * length_s)
        kill(process)
        half_done += 0 < len(index_rows(output)) < count
        world.finish(output)
        assert_same_soundtracks(output, undisturbed, count)
    print(f"{half_done} of {moments} kills left some sources done and others not")
    assert half_done > moments // 4


def wait_for_rows(process: subprocess.Popen[bytes], output: Path, count: int) -> None:
    """Until so many rows are written, each in a file of its own, or the job is at its end."""
    wait_until(lambda: len(part_files(f"{output}/index")) >= count, process)
