"""`v2a plan` on small catalogs of the miniature, and what people get wrong."""

from __future__ import annotations

import json

import helpers_catalog
import pytest

from workflows.cli.main import main
from workflows.plan.asked import amount, duration_s

CLUSTER = """
currency: EUR
as_of: "2026-11-30"
pools:
  cpu: {max: 4, cpus: 4, price_per_hour: 0.2, spot: true, interruptions_per_hour: 0.1, network_gbps: 1}
  gpu: {max: 2, cpus: 4, gpus: 1, price_per_hour: 1.0, gpu_speed: 20}
head: {memory_gib: 4, price_per_hour: 0.1}
prices: {storage_per_gb_month: 0.02, get_per_million: 0.4, put_per_million: 5}
"""
CUT = ("segments.length_s=1.0", "segments.min_length_s=0.4", "frames.frames_per_second=2.0")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planned") / "clips"
    for index in range(10):
        helpers_catalog.video(folder / f"{index}.mp4", 2.0, hue=index * 20)
    return folder


@pytest.fixture
def cluster(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text(CLUSTER, encoding="utf-8")
    return path


def plan(catalog, cluster, *more: str) -> int:
    cuts = [word for cut in CUT for word in ("--set", cut)]
    return main(["plan", str(catalog), "--cluster", str(cluster), "--models", "miniature", *cuts, *more])


def test_a_plan_says_what_a_job_takes_and_from_where_it_knows(ray_session, catalog, cluster, tmp_path, capsys) -> None:
    wish = ("--deadline", "12h", "--sources", "3000000")
    assert plan(catalog, cluster, "--json", *wish) == 0
    told = json.loads(capsys.readouterr().out)
    measured, best = told["measured"], told["best"]
    assert (told["sampled_of"], measured["sources"], measured["rows"]) == (10, 8, 2.0)
    assert [stage["name"] for stage in measured["stages"]] == ["DecodeStage", "EncodeStage"]
    assert all(stage["core_s"] > 0 for stage in measured["stages"])
    files = [path.stat().st_size for path in catalog.iterdir()]
    assert measured["bytes_in"] == pytest.approx(sum(files) / len(files), rel=0.2)
    assert measured["actor_bytes"] > 100e6  # it holds torch
    assert measured["worker_bytes"] > 50e6
    assert measured["bytes_out"] > 2 * 512 * 4  # two segments with an embedding of their sound
    assert best["seconds"] <= 12 * 3600
    assert best["traffic"]["read_bytes"] == pytest.approx(3_000_000 * measured["bytes_in"])
    assert best["traffic"]["gets"] == 6_000_000
    assert best["money"]["total"] > 0
    assert told["assumed"]["as_of"] == "2026-11-30"
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.slow
def test_soundtracks_are_planned_too_and_their_files_counted(ray_session, catalog, cluster, capsys) -> None:
    assert plan(catalog, cluster, "--job", "generate", "--mapper", "none", "--sample", "2", "--limit", "4") == 0
    told = capsys.readouterr().out
    for word in ("generate: 4 sources", "GenerateStage", "FinishStage", "2.0 PUT", "bottleneck:", "EUR", "2026-11-30"):
        assert word in told, told


@pytest.mark.slow
def test_a_catalog_as_it_is_in_the_wild_is_planned_and_what_is_done_is_left_out(
    ray_session, cluster, tmp_path, capsys
) -> None:
    wild, output = helpers_catalog.catalog(tmp_path / "wild"), tmp_path / "out"
    assert plan(wild, cluster, "--sample", "7", "--json") == 0
    whole = json.loads(capsys.readouterr().out)
    assert whole["sampled_of"] == whole["measured"]["sources"] == 7
    cuts = [word for cut in CUT for word in ("--set", cut)]
    assert main(["embed", str(wild), "--output", str(output), "--models", "miniature", "--limit", "3", *cuts]) == 0
    capsys.readouterr()
    assert plan(wild, cluster, "--output", str(output), "--sample", "4", "--json") == 0
    assert json.loads(capsys.readouterr().out)["sampled_of"] == 4
    assert plan(wild, cluster, "--output", str(output), "--limit", "3") == 2
    assert "nothing to do" in capsys.readouterr().err


@pytest.mark.slow
def test_what_no_mix_can_do_ends_with_1_and_says_what_could(ray_session, catalog, cluster, capsys) -> None:
    assert plan(catalog, cluster, "--sample", "2", "--sources", "100000000", "--budget", "0.01") == 1
    told = capsys.readouterr().out
    assert "no mix of these pools meets for at most 0.01 EUR" in told
    assert "fastest, whatever it costs:" in told
    assert "cheapest, however long it takes:" in told
    assert "more than the 4 GiB of your head" in told


def test_a_wrong_cluster_file_is_told_before_anything_is_listed(tmp_path, capsys) -> None:
    path = tmp_path / "odd näme [1].yaml"
    path.write_text("pools: {cpu: {count: 1, cpu: 8, price_per_hour: 1}}", encoding="utf-8")
    assert plan("/nowhere", path) == 2
    told = capsys.readouterr().err
    assert "odd näme [1].yaml" in told
    assert "'pools" in told
    assert plan("/nowhere", tmp_path / "missing.yaml") == 2
    assert "aws-gpu-spot" in capsys.readouterr().err


def test_what_contradicts_itself_is_refused(catalog, cluster, capsys) -> None:
    assert plan(catalog, cluster, "--mapper", "none") == 2
    assert "--job generate" in capsys.readouterr().err
    assert plan(catalog, cluster, "--job", "generate") == 2
    assert "--mapper" in capsys.readouterr().err
    for wrong in (("--deadline", "12"), ("--deadline", "0h"), ("--budget", "nothing"), ("--budget", "-3")):
        with pytest.raises(SystemExit):
            plan(catalog, cluster, *wrong)


def test_times_and_sums_as_people_write_them() -> None:
    assert [duration_s(text) for text in ("40s", "90m", "1.5h", "2d")] == [40, 5400, 5400, 172800]
    assert amount("12.50") == 12.5
