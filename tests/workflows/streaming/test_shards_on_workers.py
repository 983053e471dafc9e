"""Tar shards are listed by Ray's workers, with what listing them here gives."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
import ray
from helpers_media import make_tar

from v2a_core.catalog import CatalogSettings, tar
from v2a_core.catalog import listing as catalog_listing
from v2a_core.catalog.files import FileInfo
from v2a_core.config import ConfigError
from workflows.streaming import shards
from workflows.streaming.listing import Listing, list_catalog
from workflows.streaming.shards import ShardsOnWorkers, shards_on_workers


def write(folder: Path, count: int) -> str:
    """Plain and compressed shards with members of all kinds, one of them cut short, between other files."""
    folder.mkdir()
    for number in range(count):
        note = json.dumps({"label": f"label {number}", "caption": "é ü"}).encode()
        members = [(f"{number}-{index}.mp4", bytes([number, index]) * 300) for index in range(3)]
        path = make_tar(folder / f"s {number} #%20é.tar", [*members, (f"{number}-0.json", note), ("x.txt", b"of x")])
        if number % 3 == 1:
            path.with_suffix(".tar.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
        elif number == 2:
            path.write_bytes(path.read_bytes()[:900])
    (folder / "loose.mp4").write_bytes(b"video")
    return str(folder)


def told(found: Listing) -> tuple[list[dict[str, object]], list[tuple[str, str]], dict[str, int]]:
    rejects = [(source.uri, str(error)) for source, error in found.rejects]
    return [source.to_row() for source in found.sources], rejects, found.skipped


def test_workers_find_what_the_driver_finds(ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = write(tmp_path / "shards", 9)
    here = list_catalog([catalog], CatalogSettings(), None)
    monkeypatch.setattr(catalog_listing, "list_shard", lambda *_, **__: pytest.fail("listed in the driver"))
    monkeypatch.setattr(ShardsOnWorkers, "at_once", 2)  # fewer than there are
    there = list_catalog([catalog], CatalogSettings(), None, shards=shards_on_workers(None))
    assert told(there) == told(here)
    assert len(here.sources) == 25
    assert len(here.rejects) == 1


def test_a_worker_that_dies_ends_the_listing_with_the_name_of_the_shard(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = write(tmp_path / "shards", 1)

    def die(*_: object) -> tar.Shard:  # inside: by value, workers know no tests
        os._exit(1)

    monkeypatch.setattr(shards, "_list", die)
    monkeypatch.setattr(shards, "TASK_RETRIES", 0)
    with pytest.raises(ConfigError, match=r"cannot be listed: .*no worker could list .*s 0 #%20é\.tar \(\w*Error"):
        list_catalog([catalog], CatalogSettings(), None, shards=ShardsOnWorkers(None))


def test_without_a_cluster_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert shards_on_workers(None) is None
    assert shards_on_workers("local") is None
    assert isinstance(shards_on_workers("10.0.0.1:6379"), ShardsOnWorkers)


def test_what_a_task_raises_itself_is_raised_here(ray_session: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(*_: object) -> tar.Shard:
        raise ImportError("gs:// needs another package")

    monkeypatch.setattr(shards, "_list", lacks)
    with pytest.raises(ImportError, match="needs another package"):
        ShardsOnWorkers(None).submit(FileInfo("gs://bucket/a.tar", 10), 100, heard=False).result(60)
