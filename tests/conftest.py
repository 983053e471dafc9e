"""Fixtures that several test folders share."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two cores: threads of tests and of Ray's workers would fight


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One local Ray for all workflow tests: starting it costs more than most of them."""
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level=logging.WARNING, log_to_driver=False)
    yield
    ray.shutdown()
