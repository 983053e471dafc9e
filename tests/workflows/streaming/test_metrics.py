"""What a run exports: a small one on S3, where one request fails, and what Prometheus would read of it."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import helpers_catalog
import helpers_s3
import pytest
import ray
from helpers_monitoring import MONITORING, asked, of_training, scrape
from helpers_s3_faults import KeyProxy, failing_keys
from prometheus_client.samples import Sample

from v2a_core.config import load
from workflows.embed import job as embed
from workflows.embed.config import EmbedJob

OUTPUT = "s3://monitored/öut 𠀀 100%"
SOURCES = 3  # one of them is broken
WAIT_S = 45.0  # Ray gathers every 10 s
SETTINGS = ("segments.length_s=1.0", "frames.frames_per_second=2.0", "storage.region=us-east-1")
# Of Ray: there only where there is a GPU, or when a worker was ended.
AT_TIMES = {"ray_node_gpus_utilization", "ray_memory_manager_worker_eviction_total"}


@dataclass(frozen=True)
class Seen:
    """A run, and what was read of it; `since` and `until` in seconds since the epoch."""

    samples: list[Sample]
    since: float
    until: float

    @property
    def is_whole(self) -> bool:
        """Every name is there, and of this run what it said last: Ray may have gathered while it was going."""
        names = {sample.name for sample in self.samples}
        if asked() - of_training(asked()) - AT_TIMES - names or not any(map(_is_mine, self.samples)):
            return False
        return all(each.value == SOURCES for each in self.values("ray_v2a_sources_done"))

    def values(self, name: str) -> list[Sample]:
        """Of this run alone: others of this Ray have left counters."""
        found = [sample for sample in self.samples if sample.name == name]
        (run,) = [each.labels["run"] for each in self.samples if _is_mine(each)]
        return [sample for sample in found if sample.labels.get("run") == run]

    def value(self, name: str) -> float:
        (sample,) = self.values(name)
        return sample.value


def _is_mine(sample: Sample) -> bool:
    return sample.name == "ray_v2a_run_info" and sample.labels["output"] == "s3://monitored/%C3%B6ut %F0%A0%80%80 100%"


@pytest.fixture(scope="module")
def seen(ray_session: None, s3_server: str, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = tmp_path_factory.mktemp("monitored")
    for index in range(2):
        helpers_catalog.video(folder / "clips" / f"{index}.mp4", 2.0, hue=40 * index)
    helpers_catalog.corrupt(folder / "clips" / "broken.mp4")
    helpers_s3.upload(s3_server, "monitored", folder)
    since = time.time()
    with failing_keys(s3_server) as proxy:
        _fail_once(proxy)
        settings = [*SETTINGS, f"storage.endpoint={proxy.url}"]
        job = load(EmbedJob, job="embed", overrides=settings)
        summary = embed.run(["s3://monitored/clips"], OUTPUT, job, models="miniature")
    assert summary["storage"]["retries"] >= 1
    return _read(since)


def _fail_once(proxy: KeyProxy) -> None:
    proxy.failing["clips/0.mp4"] = ("GET", "slow_down")

    def heal() -> None:
        while not proxy.did["slow_down"]:
            time.sleep(0.02)
        proxy.failing.clear()

    threading.Thread(target=heal, daemon=True).start()


def _read(since: float) -> Seen:
    """What Ray exports, as soon as it is whole, or else what there is at the end: the tests say what is missing."""
    node = ray.nodes()[0]
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    end = time.monotonic() + WAIT_S
    while True:
        seen = Seen(list(scrape(url)), since, time.time())
        if seen.is_whole or time.monotonic() > end:
            return seen
        time.sleep(0.5)


def test_every_name_in_alerts_and_dashboard_is_one_that_a_run_exports(seen: Seen) -> None:
    there = {sample.name for sample in seen.samples}
    assert asked() - of_training(asked()) - there <= AT_TIMES


def test_names_that_are_there_at_times_are_those_of_the_installed_ray() -> None:
    """Ray asks for them itself."""
    panels = Path(ray.__file__).parent / "dashboard" / "modules" / "metrics" / "dashboards"
    code = "\n".join(path.read_text(encoding="utf-8") for path in panels.glob("*_panels.py"))
    for name in AT_TIMES:
        assert re.search(rf"\b{name}\b", code), name


def test_a_run_says_how_far_it_is(seen: Seen) -> None:
    assert seen.value("ray_v2a_sources_planned") == seen.value("ray_v2a_sources_done") == SOURCES
    assert seen.value("ray_v2a_sources_rejected") == 1
    assert seen.value("ray_v2a_rows_done_total") == 4
    assert seen.value("ray_v2a_rows_committed_total") == 5
    assert seen.value("ray_v2a_parts_committed_total") >= 1
    began, last = (
        seen.value("ray_v2a_run_started_timestamp_seconds"),
        seen.value("ray_v2a_last_commit_timestamp_seconds"),
    )
    assert seen.since < began < last < seen.until
    (info,) = seen.values("ray_v2a_run_info")
    assert info.labels["v2a_job"] == "embed"
    assert info.labels["commit"]


def test_a_run_says_what_it_costs(seen: Seen) -> None:
    (rejects,) = seen.values("ray_v2a_rejects_total")
    assert rejects.labels["reason"] == "probe: InvalidDataError"
    assert seen.value("ray_v2a_retries_total") >= 1
    assert seen.value("ray_v2a_bytes_read_total") > 1000
    busy = {each.labels["stage"]: each.value for each in seen.values("ray_v2a_stage_busy_seconds_total")}
    assert busy.keys() == {"decode", "vision", "audio"}
    assert all(0 < seconds < seen.until - seen.since for seconds in busy.values())
    (actors,) = seen.values("ray_v2a_model_actors")
    assert (actors.value, actors.labels["device"]) == (1, "cpu")
    assert seen.value("ray_v2a_driver_resident_memory_bytes") > 50e6


def test_every_series_is_documented(seen: Seen) -> None:
    page = (MONITORING.parents[1] / "docs" / "operations.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `(ray_v2a_\w+)` \|", page, re.MULTILINE))
    exported = {re.sub(r"_(bucket|sum|count)$", "", each.name) for each in seen.samples if "_v2a_" in each.name}
    assert told - of_training(told) == exported - of_training(exported)  # others of this Ray may have trained
