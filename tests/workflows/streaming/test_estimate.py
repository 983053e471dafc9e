"""What a sample of a catalog says of a run, on a real Ray with the real chain."""

from __future__ import annotations

import json

import helpers_catalog
import pytest

from v2a_core.catalog import Source
from v2a_core.catalog.collector import Collector
from v2a_core.config import load
from v2a_core.media.config import FrameSettings, SegmentSettings
from v2a_core.outputs.ledger import Ledger
from workflows.embed import job as embed
from workflows.embed.config import EmbedJob
from workflows.streaming.estimate import cluster_here, spread
from workflows.streaming.plan import Planned, plan

SETTINGS = ("segments.length_s=1.0", "segments.min_length_s=0.4", "frames.frames_per_second=2.0")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sampled")
    for index in range(9):
        helpers_catalog.video(folder / f"{index}.mp4", 2.0, hue=index * 20)
    return folder


def planned(count: int) -> Planned:
    collector = Collector()
    for number in range(count):
        collector.add(Source(f"/{number}.mp4", str(number), "video"))
    sources = collector.build()
    return plan(sources, sources.ids(SegmentSettings(), FrameSettings()), Ledger())


def names_of(items: Planned) -> list[str]:
    return [item.source.name for item in items]


@pytest.mark.slow
def test_a_dry_run_estimates_from_a_sample_and_writes_nothing(ray_session, catalog, tmp_path, capsys) -> None:
    settings = load(EmbedJob, job="embed", overrides=SETTINGS)
    output = tmp_path / "out"
    told = embed.run([str(catalog)], str(output), settings, models="miniature", dry_run=True)
    assert json.loads(capsys.readouterr().out) == told
    made = told["estimate"]
    assert (made["sampled_sources"], made["rows_per_source"]) == (4, 2.0)
    assert set(made["work_s"]) == {"DecodeStage", "EncodeStage"}
    assert all(seconds > 0 for seconds in made["work_s"].values())
    assert made["seconds"] >= made["start_s"] > 0
    assert not output.exists()


def test_a_sample_is_spread_over_the_plan() -> None:
    assert names_of(spread(planned(100), 4)) == ["0", "25", "50", "75"]
    assert names_of(spread(planned(15), 8))[-1] == "13"
    assert names_of(spread(planned(3), 8)) == ["0", "1", "2"]


def test_machines_of_a_kind_are_one_pool() -> None:
    cluster = cluster_here([{"CPU": 8.0, "GPU": 1.0}, {"CPU": 16.0}, {"CPU": 16.0}])
    assert [(pool.count, pool.cpus, pool.gpus) for pool in cluster.pools.values()] == [(1, 8, 1), (2, 16, 0)]
