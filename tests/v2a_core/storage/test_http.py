"""Sources on web servers, well-behaved and not."""

from __future__ import annotations

import helpers_web
import pytest
from helpers_web import CONTENT

from v2a_core import storage
from v2a_core.catalog import Source
from v2a_core.media.types import MediaError
from v2a_core.storage import StorageAccess, ranges
from v2a_core.storage.config import StorageSettings


@pytest.fixture(scope="module")
def web():
    with helpers_web.serve() as server:
        yield server


@pytest.fixture(autouse=True)
def _access(reach):
    reach(StorageAccess(StorageSettings(timeout_s=1.0, attempts=2)))


def fetch(uri):
    with Source(uri, "v.mp4", "video").fetch() as path:
        return path.read_bytes()


@pytest.mark.parametrize("kind", ["good", "noranges", "nohead"])
def test_a_file_arrives_whole(web, monkeypatch, kind):
    monkeypatch.setattr(ranges, "CHUNK_BYTES", 10_000)
    assert fetch(f"{web.url}/{kind}/v.mp4?X-Amz-Signature=5ec2e7") == CONTENT
    with storage.open_read(f"{web.url}/{kind}/v.mp4") as file:
        file.seek(1000)
        assert file.read(300) == CONTENT[1000:1300]


@pytest.mark.parametrize(
    ("kind", "error_type", "told"),
    [
        ("404", "NotFound", "no file"),
        ("403", "PermissionError", "the server answers 403"),
        ("503", "ServerBusyError", "the server answers 503"),
        ("html", "WebPageError", "a web page"),
        ("nosize", "OSError", "does not tell the size"),
    ],
)
def test_what_does_not_arrive_is_tried_at_the_next_run(web, kind, error_type, told):
    with pytest.raises(MediaError, match=told) as lost:
        fetch(f"{web.url}/{kind}/v.mp4?token=5ec2e7")
    assert (lost.value.error_type, lost.value.transient) == (error_type, True)
    assert "5ec2e7" not in storage.public_text(str(lost.value))


def test_a_busy_server_is_asked_again_and_a_strict_one_is_not(web):
    for status in ("503", "403"):
        with pytest.raises(MediaError):
            fetch(f"{web.url}/{status}/again.mp4")
    assert web.asked["HEAD 503"] >= 2
    assert web.asked["GET 503"] == 0
