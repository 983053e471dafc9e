"""Fixtures that several test folders share."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from v2a_core.storage import StorageAccess

settings.register_profile("v2a", deadline=None)  # a busy machine is no failure of a law
settings.load_profile("v2a")

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two cores: threads of tests and of Ray's workers would fight

# No test reaches a real bucket, and none may print this secret: set before Ray starts, so that its workers have it too.
SECRET = "planted-secret-Zx7Qw9"
os.environ |= {"AWS_ACCESS_KEY_ID": "AKIAPLANTED", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_EC2_METADATA_DISABLED": "true"}
for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION"):
    os.environ.pop(name, None)


CORE = Path(__file__).parent / "v2a_core"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Outside of the core, Ray may warn: it does of itself where it drives a job, as it copies its own settings."""
    for item in items:
        if CORE not in item.path.parents:
            # Before the marks of a test itself, which come after it and win.
            item.add_marker(pytest.mark.filterwarnings("ignore::DeprecationWarning"), append=False)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 server on loopback."""
    from helpers_s3 import serve_s3

    with serve_s3() as address:
        yield address


@pytest.fixture
def reach() -> Iterator[Callable[[StorageAccess], None]]:
    """What says how this test reaches files; holds until the test ends, or says otherwise."""
    from v2a_core import storage

    with contextlib.ExitStack() as scope:
        yield lambda access: scope.enter_context(storage.reach(access))


@pytest.fixture
def planted_secret() -> str:
    """The secret key that every process of a test has in its environment."""
    return SECRET


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One local Ray for all workflow tests: starting it costs more than most of them."""
    import ray

    # Workers find the tests' helpers (decoders that misbehave) as this process does, and the toys.
    helpers = Path(__file__).parent / "helpers"
    paths = [str(helpers), str(helpers / "toys"), os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    os.environ.setdefault("RAY_metrics_report_interval_ms", "2000")  # tests of metrics wait for it
    # A training looks whether its nodes are about to be taken away, by an actor of its own: this machine is not.
    os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    # A worker that waits for the next test's tasks costs nothing, one that starts for them costs a second.
    os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "600000")
    ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level=logging.WARNING, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def threads_as_before() -> Iterator[None]:
    """Torch has as many threads after the test as before it."""
    import torch

    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
