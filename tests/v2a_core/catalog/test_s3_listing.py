"""How a bucket is listed: in the same order as a flat listing, several prefixes at once, and nothing asked twice."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from helpers_s3 import Faults, client, misbehaving, reached

from v2a_core import storage
from v2a_core.catalog import CatalogSettings, list_sources
from v2a_core.storage import StorageAccess, pages

NAMES = ("a", "a-1", "a.b", "a b", "ä", "b", "zz", ".hidden")


@pytest.fixture(scope="module")
def keys(s3_server: str) -> list[str]:
    """A bucket of odd folders; some keys end in a slash, as consoles make them."""
    s3, draw = client(s3_server), random.Random(1)
    s3.create_bucket(Bucket="listed")
    keys = {
        "/".join(["top", *draw.choices(NAMES, k=draw.randrange(5)), f"{draw.choice(NAMES)}.mp4"]) for _ in range(150)
    }
    keys |= {"top/a/", "top/a.mp4", "top/a/zz/", "topmost.mp4"}
    for number, key in enumerate(sorted(keys)):
        s3.put_object(Bucket="listed", Key=key, Body=b"x" * (0 if key.endswith("/") else number + 1))
    return sorted(keys)


@pytest.mark.parametrize(("folder", "at_once", "deepest"), [("top", 16, 3), ("top", 2, 2), ("top/a", 3, 9), ("", 1, 1)])
def test_a_bucket_is_listed_as_one_flat_listing_would(
    s3_server: str, keys: list[str], monkeypatch: pytest.MonkeyPatch, folder: str, at_once: int, deepest: int
) -> None:
    monkeypatch.setattr(pages, "_AT_ONCE", at_once)
    monkeypatch.setattr(pages, "_DEEPEST", deepest)
    with storage.reach(StorageAccess(reached(s3_server))):
        found = list_sources([f"s3://listed/{folder}"], CatalogSettings()).sources
    prefix = f"s3://listed/{folder}".rstrip("/") + "/"
    expected = [
        f"s3://listed/{key}"
        for key in keys
        if f"s3://listed/{key}".startswith(prefix) and key.endswith(".mp4") and "/." not in key
    ]
    assert [source.uri for source in found] == expected
    assert all(source.version.startswith(f"{source.size}-") and len(source.version) > 32 for source in found)


def test_nothing_is_asked_of_s3_twice(s3_server: str, keys: list[str], tmp_path: Path) -> None:
    """The listing's sizes and ETags travel: a source costs one GET, and a page of a thousand keys one request."""
    s3 = client(s3_server)
    s3.create_bucket(Bucket="counted")
    for number in range(30):
        s3.put_object(Bucket="counted", Key=f"v/{number:02}.mp4", Body=b"%05d" % number)
    with misbehaving(s3_server, Faults()) as proxy, storage.reach(StorageAccess(reached(proxy.url))):
        for given, most in (("s3://counted/v", 2), ("s3://counted/v/*.mp4", 8)):
            before = proxy.did["requests"]
            found = list_sources([given], CatalogSettings()).sources
            assert len(found) == 30
            assert proxy.did["requests"] - before <= most, given
        before = proxy.did["requests"]
        for number, source in enumerate(found):
            with source.fetch() as path:
                assert path.read_bytes() == b"%05d" % number
        assert proxy.did["requests"] - before == 30
