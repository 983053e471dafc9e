"""What storage does to a run: silence, crawling, dead mounts, an output that goes away."""

from __future__ import annotations

import os
import threading
import time

import helpers_s3
import helpers_web
import pytest
from helpers_s3 import Faults, misbehaving, reached

from v2a_core.catalog import CatalogSettings, Source, list_sources
from v2a_core.compute.threads import ScopedThreads
from v2a_core.config import ConfigError
from v2a_core.media.types import MediaError
from v2a_core.storage import StorageAccess, s3
from v2a_core.storage.config import StorageSettings
from v2a_core.storage.preflight import check_storage


@pytest.fixture(scope="module")
def web():
    with helpers_web.serve() as server:
        yield server


@pytest.fixture(scope="module")
def bucket(s3_server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bucket")
    for index in range(14):
        (folder / f"{index:02d}.mp4").write_bytes(bytes([index]) * 20_000)
    helpers_s3.upload(s3_server, "attack-test", folder)
    return "s3://attack-test"


@pytest.fixture(autouse=True)
def _put_back():
    yield
    s3._filesystem.cache_clear()


def fetch(uri):
    with Source(uri, "v.mp4", "video").fetch() as path:
        return path.read_bytes()


def lost(uri, within_s):
    started = time.monotonic()
    with pytest.raises(MediaError) as error:
        fetch(uri)
    assert time.monotonic() - started < within_s
    assert error.value.transient
    return error.value


@pytest.mark.parametrize("kind", ["silent", "slow", "html"])
def test_a_web_server_that(web, kind, reach):
    """A web server that is silent, sends a byte a second, or sends a page instead of a video."""
    reach(StorageAccess(StorageSettings(timeout_s=1.5, fetch_timeout_s=3.0)))
    told = str(lost(f"{web.url}/{kind}/v.mp4", 8))
    assert ("a web page" if kind == "html" else "no answer in time") in told


def test_a_crawling_bucket_keeps_no_connection_from_the_next_source(s3_server, bucket, reach):
    """S3 that sends a byte a second, for more sources than there are connections."""
    with misbehaving(s3_server, Faults(crawl="/0")) as proxy:
        reach(StorageAccess(reached(proxy.url, fetch_timeout_s=5.0)))
        fetch(f"{bucket}/11.mp4")  # the first request takes seconds of its own, to load botocore
        with ScopedThreads(10) as threads:
            list(threads.map(lost, [f"{bucket}/{i:02d}.mp4" for i in range(10)], [15] * 10))
        assert proxy.did["crawled"] >= 10
        assert fetch(f"{bucket}/12.mp4") == bytes([12]) * 20_000


def test_the_preflight_of_a_silent_bucket_ends(s3_server, bucket, reach):
    """S3 that accepts connections and says nothing, before a run."""
    with misbehaving(s3_server, Faults(silent=True)) as proxy:
        access = StorageAccess(reached(proxy.url))
        reach(access)
        started = time.monotonic()
        with pytest.raises(ConfigError, match="list is not possible at s3://attack-test"):
            check_storage([bucket], f"{bucket}/out", access)
        assert time.monotonic() - started < 30


@pytest.mark.parametrize("hangs", ["stat", "scandir"])
def test_a_dead_mount(tmp_path, monkeypatch, hangs, reach):
    """A mount under the catalog that died: whoever looks at it waits for ever."""
    (tmp_path / "unplugged").mkdir()
    (tmp_path / "unplugged" / "v.mp4").write_bytes(b"video")
    (tmp_path / "good.mp4").write_bytes(b"video")
    (tmp_path / "table.csv").write_text("uri\ngood.mp4\nunplugged/v.mp4\n")
    release, works = threading.Event(), getattr(os, hangs)

    def hang(path, *arguments, **named):
        if "unplugged" in str(path):
            release.wait()
        return works(path, *arguments, **named)

    monkeypatch.setattr(os, hangs, hang)
    reach(StorageAccess(StorageSettings(timeout_s=0.5)))
    try:
        started = time.monotonic()
        if hangs == "stat":
            listed = list_sources([str(tmp_path / "table.csv")], CatalogSettings())
            assert [source.name for source in listed.sources] == ["good.mp4"]
            assert [error.error_type for _, error in listed.rejects] == ["TimeoutError"]
            assert all(error.transient for _, error in listed.rejects)
            assert [error.error_type for _, error in list_sources([str(tmp_path)], CatalogSettings()).rejects]
        else:
            with pytest.raises(ValueError, match="nothing came back within"):
                list_sources([str(tmp_path)], CatalogSettings())
        assert time.monotonic() - started < 15
    finally:
        release.set()
