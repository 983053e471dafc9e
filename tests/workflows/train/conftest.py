"""A training that several tests share, watched while it goes."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator

import helpers_embeddings as world
import pytest
import ray
from helpers_monitoring import scrape
from helpers_training import LINEAR, Watched
from prometheus_client.samples import Sample

from v2a_core.config import ConfigError, load
from v2a_core.outputs.status import Status, read_status
from workflows.train import job as train
from workflows.train.config import TrainJob

WAIT_S = 30.0  # Ray gathers every 10 s


@pytest.fixture(scope="session")
def linear(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Embeddings of which a mapper learns at once what becomes of what."""
    rows = world.table(300, status=["ok"] * 290 + ["rejected"] * 10)
    return world.write(tmp_path_factory.mktemp("linear") / "embeddings", rows)


@pytest.fixture(scope="session")
def watched(ray_session: None, linear: str, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """By two workers, whose folders are not the one in which everything is named by a relative path."""
    folder = tmp_path_factory.mktemp("watched")
    job = load(TrainJob, job="train", overrides=[*LINEAR, "scaling.workers=2"])
    with contextlib.chdir(folder), _watching(str(folder / "mapper")) as seen:
        shutil.copytree(linear, "embeddings")
        summary = train.run("embeddings/", "mapper/", job)
    output = folder / "mapper"
    return Watched(output, summary, [*seen, read_status(str(output))], list(_read()))


@contextlib.contextmanager
def _watching(output: str) -> Iterator[list[Status]]:
    """What can be read of an output, again and again until the block ends."""
    ended, seen = threading.Event(), list[Status]()

    def look() -> None:
        while not ended.wait(0.1):
            with contextlib.suppress(ConfigError):  # not there yet
                seen.append(read_status(output))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        ended.set()
        watcher.join()


def _read() -> Iterator[Sample]:
    node, end = ray.nodes()[0], time.monotonic() + WAIT_S
    while True:
        samples = list(scrape(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"))
        if any(each.name == "ray_v2a_training_steps_done" and each.value for each in samples):
            return iter(samples)
        assert time.monotonic() < end
        time.sleep(0.5)
