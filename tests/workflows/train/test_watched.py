"""What is seen of a training from outside, while it goes and after it."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import helpers_embeddings as world
import pytest
import ray
from helpers_monitoring import MONITORING, asked, of_training, scrape
from helpers_training import PERCEPTRON
from prometheus_client.samples import Sample

from v2a_core.config import ConfigError, load
from v2a_core.outputs.status import Status, read_status
from workflows.train import job as train
from workflows.train.config import TrainJob

WAIT_S = 30.0  # Ray gathers every 10 s
SETTINGS = (
    *PERCEPTRON,
    "training.epochs=3",
    "training.global_batch=64",
    "scaling.threads=1",
)


@dataclass(frozen=True)
class Watched:
    """A run: what `v2a status` said of it, and what Prometheus would have read when it had ended."""

    seen: list[Status]
    samples: list[Sample]
    summary: dict[str, object]


@pytest.fixture(scope="module")
def watched(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    folder = tmp_path_factory.mktemp("watched")
    embeddings, output = world.write(folder / "embeddings", world.table(300)), str(folder / "mapper")
    ended, seen = threading.Event(), []

    def look() -> None:
        while not ended.wait(0.1):
            try:
                seen.append(read_status(output))
            except ConfigError:  # not there yet
                continue

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        summary = train.run(embeddings, output, load(TrainJob, job="train", overrides=SETTINGS))
    finally:
        ended.set()
        watcher.join()
    return Watched([*seen, read_status(output)], list(_read()), summary)


def _read() -> Iterator[Sample]:
    node, end = ray.nodes()[0], time.monotonic() + WAIT_S
    while True:
        samples = list(scrape(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"))
        if any(each.name == "ray_v2a_training_steps_done" and each.value for each in samples):
            return iter(samples)
        assert time.monotonic() < end
        time.sleep(0.5)


def test_status_tells_a_training_from_its_output_alone(watched: Watched) -> None:
    during, last = watched.seen[:-1], watched.seen[-1]
    assert {found.state for found in during} <= {"running", "stopped", "done"}
    assert any(found.state == "running" for found in during)
    assert (last.job, last.state) == ("train", "done")
    assert last.owner is not None
    told = last.owner.progress
    steps = watched.summary["steps"]
    assert (told["unit"], told["done"], told["planned"], told["checkpoint_step"]) == ("steps", steps, steps, steps)
    assert 0 < told["validation_loss"] < 10


def test_every_series_of_a_training_is_exported_and_explained(watched: Watched) -> None:
    page = (MONITORING.parents[1] / "docs" / "operations.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `(ray_v2a_\w+)` \|", page, re.MULTILINE))
    exported = {each.name for each in watched.samples}
    assert of_training(told) == of_training(exported)
    assert of_training(asked()) <= exported
    values = {(each.name, each.labels.get("split")): each.value for each in watched.samples}
    steps = watched.summary["steps"]
    assert values["ray_v2a_training_steps_done", None] == values["ray_v2a_training_steps_planned", None] == steps
    assert values["ray_v2a_training_loss", "validation"] > 0


def test_how_far_a_training_is_in_words(tmp_path: Path) -> None:
    owner = {"unit": "steps", "done": 500, "planned": 2000, "elapsed_s": 600.0, "train_loss": 0.5, "epoch": 2}
    lines = running(str(tmp_path), owner).lines()
    assert "progress: 500 of 2000 steps, train loss 0.5, epoch 2, 30 min to go" in lines


def running(output: str, progress: dict[str, object]) -> Status:
    """A run that is at work and has said this."""
    from v2a_core.outputs.lease import Owner

    now = time.time()
    owner = Owner("train", "host", 1, now - 700, now, released=False, gone=False, progress=progress)
    return Status(output, "train", "running", owner, 0, None, None, {}, now)
