"""The cluster file: those that are shipped, and those that people get wrong."""

from __future__ import annotations

import pytest

from v2a_core.config import CONFIG_ROOT, ConfigError
from workflows.costing.config import FOLDER, read_cluster

POOL = "pools: {cpu: {count: 2, cpus: 8, price_per_hour: 0.5}}"


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONFIG_ROOT / FOLDER).glob("*.yaml")))
def test_a_shipped_file_can_be_used_by_its_name(name) -> None:
    cluster = read_cluster(name)
    assert cluster.as_of
    assert any(pool.most for pool in cluster.pools.values())


def test_names_of_pools_and_files_are_free(tmp_path) -> None:
    path = tmp_path / "mein Cluster, ü & [1].yml"
    path.write_text(POOL.replace("cpu:", "'Knoten ä / 1':"), encoding="utf-8")
    assert list(read_cluster(str(path)).pools) == ["Knoten ä / 1"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "pools"),
        ("pools: {}", "pools"),
        ("[1, 2]", "mapping"),
        ("pools: {cpu: {count: 2", "not valid YAML"),
        (f"{POOL}\nprice: 3", "unknown key 'price'"),
        ("pools: {cpu: {count: 2, cpus: 8, price_per_hour: cheap}}", "'cheap'"),
        ("pools: {cpu: {count: 2, cpus: 0, price_per_hour: 1}}", "greater than 0"),
        ("pools: {cpu: {count: 2, cpus: 8}}", "price_per_hour"),
        ("pools: {cpu: {count: 2, max: 3, cpus: 8, price_per_hour: 1}}", "either count, or max"),
        ("pools: {cpu: {cpus: 8, price_per_hour: 1}}", "either count, or max"),
        ("pools: {cpu: {min: 4, max: 3, cpus: 8, price_per_hour: 1}}", "below min"),
        ("pools: {cpu: {count: 0, cpus: 8, price_per_hour: 1}}", "none of them can have a node"),
        ("pools: {gpu: {count: 1, cpus: 8, gpus: 1, price_per_hour: 1}}", "needs gpu_speed"),
        ("pools: {cpu: {count: 1, cpus: 8, price_per_hour: 1, interruptions_per_hour: 1}}", "spot: true"),
        ("pools: {1: {count: 1, cpus: 8, price_per_hour: 1}}", "pools"),
        ("pools: {cpu: {count: 2, cpus: 8, price_per_hour: -1}}", "greater than or equal to 0"),
    ],
)
def test_what_is_wrong_is_told_with_the_file(tmp_path, text, told) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_cluster(str(path))
    assert str(path) in str(caught.value)
    assert told in str(caught.value)


def test_a_missing_file_names_those_that_are_shipped(tmp_path) -> None:
    for missing in ("nothing.yaml", str(tmp_path), ""):
        with pytest.raises(ConfigError, match="aws-gpu-spot"):
            read_cluster(missing)
