"""Sources on web servers, and links that somebody signed."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from helpers_media import make_tar

from v2a_core.catalog import CatalogListing, CatalogSettings, list_sources, source_id, source_key
from v2a_core.catalog.files import is_table, is_tar, media_kind
from v2a_core.config import ConfigError
from v2a_core.media.config import FrameSettings, SegmentSettings
from v2a_core.storage import StorageAccess
from v2a_core.storage.preflight import check_storage

VIDEO = b"video bytes " * 500
SIGNED = "?X-Amz-Credential=AKIA%2F2026/x&X-Amz-Signature=0123secret{}"
SAMPLING = SegmentSettings(), FrameSettings()


class _Server(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Server, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    with contextlib.closing(server.socket):
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def listing(*inputs: object) -> CatalogListing:
    return list_sources([str(given) for given in inputs], CatalogSettings())


def test_a_signed_link_is_a_video_by_its_path(tmp_path: Path, web: str) -> None:
    (tmp_path / "a.mp4").write_bytes(VIDEO)
    make_tar(tmp_path / "s.tar", [("m.mp4", VIDEO)])
    (tmp_path / "t.csv").write_text("uri\na.mp4\n")
    first, second = (
        listing(f"{web}/a.mp4{SIGNED.format(n)}", f"{web}/s.tar{SIGNED.format(n)}").sources for n in (1, 2)
    )
    for one, other in zip(first, second, strict=True):
        assert source_id(one, *SAMPLING) == source_id(other, *SAMPLING)  # a new signature is no new source
        assert source_key(one) == source_key(other)
        with one.fetch() as path:
            assert path.read_bytes() == VIDEO
            assert path.suffix == ".mp4"
    assert [source.name for source in first] == ["a.mp4", "s/m.mp4"]
    assert first[0].uri.endswith("secret1")  # it opens the file


def test_two_signatures_of_one_file_are_one_source(tmp_path: Path, web: str) -> None:
    (tmp_path / "a.mp4").write_bytes(VIDEO)
    found = listing(f"{web}/a.mp4{SIGNED.format(1)}", f"{web}/a.mp4{SIGNED.format(2)}")
    assert len(found.sources) == 1
    assert found.skipped_reasons == {"duplicate": 1}


def test_a_table_of_links_is_asked_for_one_by_one_and_shows_no_secret(tmp_path: Path, web: str) -> None:
    """A web server lists no folder: however many rows name files in one, each is looked up."""
    for index in range(12):
        (tmp_path / f"{index}.mp4").write_bytes(VIDEO)
    links = [f"{web}/{index}.mp4{SIGNED.format(index)}" for index in range(14)]
    login = web.replace("http://", "http://user:pass-secret@") + "/login.mp4"
    rows = [{"uri": link} for link in [*links, f"{web}/notes.txt{SIGNED}", login]]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = listing(tmp_path / "t.jsonl")
    assert [source.name for source in found.sources] == [f"{index}.mp4" for index in range(12)]
    assert [error.error_type for _, error in found.rejects] == ["NotFound", "NotFound", "NotMedia", "BadUri"]
    told = json.dumps([[str(error), source.name] for source, error in found.rejects])
    assert "secret" not in told
    assert "t.jsonl, line 13, column uri" in told


def test_names_with_a_query() -> None:
    assert media_kind("https://host/x.mp4?X-Amz-Signature=a.b") == "video"
    assert media_kind("http://host/x.PNG#top") == "image"
    assert media_kind("https://host/x?name=a.mp4") is None
    assert is_tar("https://host/s.tar.gz?sig=1")
    assert is_table("https://host/t.csv?sig=1")
    assert media_kind("/videos/what?.mp4") == "video"
    assert media_kind("s3://b/what?is.mp4") == "video"


def test_a_signed_link_is_tried_as_it_is(tmp_path: Path, web: str) -> None:
    """Not its folder: a signature opens one file, and a web server lists none."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").write_bytes(VIDEO)
    (tmp_path / "in" / "index.html").write_text("no list")
    link = f"{web}/in/a.mp4{SIGNED.format(1)}"
    checked = check_storage([link], str(tmp_path / "out"), StorageAccess())
    assert checked["inputs"] == [f"read works: {web}/in/a.mp4"]
    with pytest.raises(ConfigError, match=r"read is not possible at .*/gone\.mp4: FileNotFoundError") as caught:
        check_storage([link.replace("a.mp4", "gone.mp4")], str(tmp_path / "out"), StorageAccess())
    assert "secret" not in str(caught.value)
