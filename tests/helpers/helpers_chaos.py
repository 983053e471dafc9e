"""Jobs that are disturbed: where they read and write, how they run, and whether they end as an undisturbed one."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import helpers_catalog
import helpers_outputs
import helpers_s3
import numpy as np
from helpers_attacks import EXACT, SEGMENTS, SOUND, arguments
from helpers_processes import job_environment

from v2a_core.verification import verify

BUCKET = "chaos"
VIDEOS, SECONDS = 16, 3.0
_STALLED_S = 150  # of the program's half an hour: what hangs is told of while somebody waits
_SMALL = ("pools.sources_per_block=1", "pools.segments_per_batch=2", "pools.soundtracks_per_batch=1")
_LESSONS = ("training.epochs=48", "training.validation.every_epochs=4", "training.precision=fp32")
_SETTINGS = {
    "embed": (*SEGMENTS, *EXACT, *_SMALL, "pools.model_actors=2"),
    "train": (*_LESSONS, "scaling.cpus_per_worker=0.5", "scaling.threads=1"),
    "generate": (*SEGMENTS, *SOUND, *EXACT, *_SMALL, "pools.model_actors=2"),
    "evaluate": (*EXACT, *_SMALL, "pools.model_actors=2", "output.interval_s=0", "metrics.resamples=50"),
}
JOBS = tuple(_SETTINGS)
# What a job has read of the undisturbed runs of others.
_NEEDS = {"train": ("embed",), "generate": ("train",), "evaluate": ("generate",)}
# A file more for each thing that is done for good.
_STEPS = {"embed": "/rows/part-", "train": "/checkpoint.json", "generate": "/index/part-", "evaluate": "/rows/part-"}


@dataclass(frozen=True)
class Undisturbed:
    """A run that nothing disturbed.

    Attributes:
        folder: What it wrote.
        seconds: How long it ran.
        steps: How often it had done something for good.
    """

    folder: Path
    seconds: float
    steps: int


class World:
    """A bucket with a catalog, and what undisturbed runs make of it.

    Args:
        endpoint: Of the bucket's server.
        folder: For what is read of it.
    """

    def __init__(self, endpoint: str, folder: Path) -> None:
        self.endpoint, self._folder = endpoint, folder
        self._undisturbed: dict[str, Undisturbed] = {}
        for index in range(VIDEOS):
            video = folder / "filled" / "catalog" / f"{index}.mp4"
            helpers_catalog.video(video, SECONDS, hue=15 * index, tone_hz=200 + 50 * index)
        helpers_s3.upload(endpoint, BUCKET, folder / "filled")

    def undisturbed(self, job: str) -> Undisturbed:
        """A run on a Ray that the job starts on this machine; at most one of each job."""
        if job not in self._undisturbed:
            for needed in _NEEDS.get(job, ()):
                self.undisturbed(needed)
            self._undisturbed[job] = self._run(job)
        return self._undisturbed[job]

    def _run(self, job: str) -> Undisturbed:
        log, started = self._folder / f"{job}.log", time.monotonic()
        with log.open("wb") as file:
            process = Popen(self.command(job, f"undisturbed/{job}"), env=job_environment(), stdout=file, stderr=file)
        steps = Steps(self, job, f"undisturbed/{job}")
        while process.poll() is None:
            steps.count()
            time.sleep(0.3)
        assert process.returncode == 0, log.read_text()[-3000:]
        return Undisturbed(self.download(f"undisturbed/{job}"), time.monotonic() - started, steps.count())

    def command(self, job: str, output: str) -> list[str]:
        """The command of a job into a place of the bucket."""
        embeddings, mapper, soundtracks = (
            f"s3://{BUCKET}/undisturbed/{name}" for name in ("embed", "train", "generate")
        )
        inputs = {
            "embed": [f"s3://{BUCKET}/catalog"],
            "train": [embeddings, "--config", "small"],
            "generate": [f"s3://{BUCKET}/catalog", "--mapper", mapper],
            "evaluate": [soundtracks],
        }
        reaching = (f"storage.endpoint={self.endpoint}", "storage.region=us-east-1")
        limits = () if job == "train" else (f"limits.stalled_s={_STALLED_S}",)
        settings = arguments([*_SETTINGS[job], *reaching, *limits])
        tool = [sys.executable, "-m", f"workflows.{job}", *inputs[job], "--output", f"s3://{BUCKET}/{output}"]
        return [*tool, "--models", "miniature", *settings]

    def download(self, output: str) -> Path:
        """An output as a folder."""
        return helpers_s3.download(self.endpoint, BUCKET, f"{output}/", self._folder / "read" / output)

    def check(self, job: str, output: str) -> None:
        """An output is that of the undisturbed run, and whole."""
        got, want = self.download(output), self.undisturbed(job).folder
        _SAME[job](got, want)
        assert verify(str(got)).problems == []


class Steps:
    """How often a run has done something for good, in a place of the bucket; files may go again."""

    def __init__(self, world: World, job: str, output: str) -> None:
        self._part, self._output = _STEPS[job], output
        self._s3 = helpers_s3.client(world.endpoint)
        self._seen: set[str] = set()

    def count(self) -> int:
        found = helpers_s3.keys(self._s3, BUCKET, f"{self._output}/")
        self._seen |= {key for key in found if self._part in key}
        return len(self._seen)


def _same_embeddings(got: Path, want: Path) -> None:
    helpers_outputs.assert_same_embeddings(helpers_outputs.segment_rows(got), helpers_outputs.segment_rows(want))


def _same_mapper(got: Path, want: Path) -> None:
    assert helpers_outputs.fingerprint(got) == helpers_outputs.fingerprint(want)  # bit for bit


def _same_soundtracks(got: Path, want: Path) -> None:
    helpers_outputs.assert_same_soundtracks(got, want, VIDEOS)


def _same_evaluation(got: Path, want: Path) -> None:
    mine, theirs = helpers_outputs.segment_rows(got), helpers_outputs.segment_rows(want)
    assert mine.keys() == theirs.keys()
    for identity, row in theirs.items():
        assert mine[identity].keys() == row.keys()
        for name, value in row.items():
            if name.endswith("_s") or name in _NOTES:
                continue
            if isinstance(value, float | list):
                np.testing.assert_allclose(mine[identity][name], value, atol=2e-3, err_msg=name)
            else:
                assert mine[identity][name] == value, name


_NOTES = ("recorded_at", "bytes_read", "retries", "attempts")
_SAME: dict[str, Callable[[Path, Path], None]] = {
    "embed": _same_embeddings,
    "train": _same_mapper,
    "generate": _same_soundtracks,
    "evaluate": _same_evaluation,
}
