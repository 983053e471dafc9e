"""How long a job will take, from a sample."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
import ray

from workflows.cluster_runtime import connection
from workflows.streaming.estimate import _wall_s, estimate

COLUMNS = {"decode": "decode_s", "vision": "vision_s"}


def test_an_estimate_includes_what_comes_before_the_first_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0})
    monkeypatch.setattr(connection, "connect_seconds", lambda: 5.0)

    class Sample:
        """Loads for half a second, then works a tenth of a second on each row."""

        def __init__(self, sources: list[str]) -> None:
            self._sources = sources

        def iter_batches(self, **_: object):
            time.sleep(0.5)
            for _ in self._sources:
                time.sleep(0.1)
                yield pa.table({"decode_s": [0.06], "vision_s": [0.04]})

    pools: Any = SimpleNamespace(decode_tasks=1, actors=1)
    told = estimate(list("abcdefgh"), Sample, COLUMNS, pools)
    assert told["sampled_sources"] == 4
    assert told["start_s"] == pytest.approx(5.5, abs=0.15)
    assert told["work_s"] == {"decode": 0.5, "vision": 0.3}
    assert told["seconds"] == pytest.approx(told["start_s"] + 0.48, abs=0.1)


def test_parts_of_a_stage_count_once() -> None:
    pools: Any = SimpleNamespace(decode_tasks=1, actors=1)
    work = {"decode": 10.0, "generate": 100.0, "unet": 80.0, "vae": 10.0, "vocoder": 5.0}
    assert _wall_s(work, pools, {"CPU": 1.0}) == 110.0
