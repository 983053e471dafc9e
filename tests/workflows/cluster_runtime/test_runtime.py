"""How the stages of a streaming job share a machine."""

from __future__ import annotations

import functools
import os
import time
from pathlib import Path
from typing import Any

import helpers_catalog
import pyarrow as pa
import pytest
import ray
from ray.data import ActorPoolStrategy, TaskPoolStrategy
from ray.data._internal.execution.node_trackers import actor_location

from v2a_core.config import load
from v2a_core.stages.decode import DecodeSettings
from workflows.cluster_runtime import pools as cluster_pools
from workflows.cluster_runtime import ray_private
from workflows.cluster_runtime.config import PoolSettings
from workflows.generate import conditions
from workflows.generate import job as generate
from workflows.generate.config import GenerateJob
from workflows.streaming.plan import from_tables

SETTINGS = (
    "segments.length_s=1.0", "frames.frames_per_second=2.0", "generator.num_inference_steps=1",
    "pools.sources_per_block=1", "pools.segments_per_batch=2", "pools.soundtracks_per_batch=2", "output.interval_s=0",
    "decoder.confine=false",  # a planted decoder leaves notes
)  # fmt: skip


@pytest.mark.slow
def test_soundtracks_are_finished_while_videos_are_decoded(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = functools.partial(DecodeSettings, decoder="planted_decoders:by_name")
    monkeypatch.setattr(conditions, "DecodeSettings", watched)
    catalog = tmp_path / "catalog"
    for index in range(120):  # more than all queues take
        helpers_catalog.video(catalog / f"{index}.mp4", 0.5, hue=2 * index)
    job = load(GenerateJob, job="generate", overrides=SETTINGS)
    generate.run([str(catalog)], str(tmp_path / "output"), job, mapper="none", models="miniature")
    finished = sorted(path.stat().st_mtime for path in (tmp_path / "output" / "audio").rglob("*.wav"))
    decoded = max(path.stat().st_mtime for path in catalog.glob("*.pid"))
    assert len(finished) == 120
    assert finished[0] < decoded


@pytest.mark.slow
def test_a_stage_does_not_work_far_ahead_of_the_next(ray_session: None, tmp_path: Path) -> None:
    # Defined here: workers get them by value.
    def quick(batch: pa.Table) -> pa.Table:
        (tmp_path / str(batch["number"][0])).touch()
        return batch

    class Slow:
        """Notes how many rows the stage before it has done that this one has not."""

        done = 0

        def __call__(self, batch: pa.Table) -> pa.Table:
            time.sleep(0.6)
            ahead = len(list(tmp_path.iterdir())) - self.done
            self.done += 1
            return batch.append_column("ahead", pa.array([ahead]))

    cluster_pools.prepare_data(PoolSettings(segments_per_batch=4, soundtracks_per_batch=4), 1)
    data = from_tables(pa.table({"number": [number]}) for number in range(40))
    data = data.map_batches(quick, num_cpus=0.3, compute=TaskPoolStrategy(size=1), batch_format="pyarrow")
    data = data.map_batches(Slow, num_cpus=0.2, compute=ActorPoolStrategy(size=1), batch_format="pyarrow")
    rows = data.take_all()
    assert sorted(row["number"] for row in rows) == list(range(40))
    # Four wait, two are with the slow stage, and some tasks of the quick one were under way.
    assert max(row["ahead"] for row in rows) <= 20


def test_an_actor_that_dies_starts_again_from_what_it_was_built_with(
    ray_session: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    class Mortal:
        """Ends its process in its first call, once."""

        def __init__(self, marker: Path) -> None:
            self._marker = marker

        def __call__(self, batch: pa.Table) -> pa.Table:
            if not self._marker.exists():
                self._marker.touch()
                os._exit(1)
            return batch.append_column("built", pa.array([self._marker.name]))

    cluster_pools.prepare_data(PoolSettings(), 1)
    data = from_tables([pa.table({"number": [0]})])
    data = data.map_batches(
        Mortal,
        fn_constructor_kwargs={"marker": tmp_path / "once"},
        num_cpus=0.2,
        compute=ActorPoolStrategy(size=1),
        batch_format="pyarrow",
    )
    assert data.take_all() == [{"number": 0, "built": "once"}]
    # Ray's complaint that what an actor was built with lies in the object store, where it can be lost.
    assert "constructor arguments" not in capfd.readouterr().err


def test_an_actor_that_never_says_where_others_run(ray_session: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray Data starts one that knows it; where memory is short, it may never live long enough to answer."""

    class Silent:
        def get_actor_locations(self, actor_ids: tuple[str, ...]) -> None:
            time.sleep(600)

    class Slow:
        """Is at work for several looks at where it is."""

        def __call__(self, batch: pa.Table) -> pa.Table:
            time.sleep(0.5)
            return batch

    asked = []

    def tracker() -> Any:
        asked.append(True)
        return silent

    silent = ray.remote(num_cpus=0)(Silent).remote()
    monkeypatch.setattr(actor_location, "get_or_create_actor_location_tracker", tracker)
    monkeypatch.setattr(ray_private, "ANSWER_S", 0.2)
    cluster_pools.prepare_data(PoolSettings(), 1)
    data = from_tables(pa.table({"number": [number]}) for number in range(4))
    data = data.map_batches(Slow, num_cpus=0.2, compute=ActorPoolStrategy(size=1), batch_format="pyarrow")
    assert sorted(row["number"] for row in data.take_all()) == [0, 1, 2, 3]
    assert asked


@pytest.mark.parametrize("cpus", [1, 2, 3, 4, 7, 8, 64])
@pytest.mark.parametrize("machines", [1, 2, 16])
def test_what_all_stages_reserve_fits(cpus: int, machines: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": float(cpus * machines)})
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": float(cpus)}}] * machines)
    pools = cluster_pools.plan_pools(PoolSettings(), 3)
    assert pools.actors == machines
    model = pools.actors * pools.actor_cpus
    stages = [pools.decode_cpus, model, model / 2, pools.gather_cpus, pools.cut_cpus, model, pools.decode_cpus]
    assert sum(stages) <= cpus * machines
    # Ray Data may know of no more CPUs than are asked for, and gives every stage half of an equal share of them.
    assert pools.cut_cpus >= sum(stages) / len(stages) / 2 or sum(stages) <= cpus * machines - 1
