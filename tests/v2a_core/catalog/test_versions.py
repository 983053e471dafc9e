"""The version of a source: contents decide, and what is fetched is what was listed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from helpers_media import make_tar
from helpers_s3 import client, reached, upload

from v2a_core import storage
from v2a_core.catalog import CatalogListing, CatalogSettings, ShardReader, Source, list_sources
from v2a_core.catalog.contents import is_transport_stream
from v2a_core.media.types import MediaError
from v2a_core.storage import StorageAccess

VIDEO = b"video bytes " * 5000
OTHER = VIDEO[:-1] + b"!"


def listing(*inputs: object) -> CatalogListing:
    return list_sources([str(given) for given in inputs], CatalogSettings())


def fetched(source: Source) -> bytes:
    with source.fetch() as path:
        return path.read_bytes()


def refused(source: Source, shards: ShardReader | None = None) -> str:
    with pytest.raises(MediaError) as caught, source.fetch(shards):
        pass
    assert caught.value.transient
    return caught.value.error_type


def test_a_touched_moved_or_copied_file_is_the_same_version(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(VIDEO)
    (source,) = listing(tmp_path).sources
    os.utime(path, (1, 1))
    assert listing(tmp_path).sources == [source]
    path.unlink()
    path.write_bytes(VIDEO)
    assert listing(tmp_path).sources == [source]
    assert fetched(source) == VIDEO


@pytest.mark.parametrize("content", [OTHER, b"!" + VIDEO[1:], VIDEO + b"x", VIDEO[:-1], b""])
def test_another_content_is_another_version(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(VIDEO)
    (source,) = listing(tmp_path).sources
    path.write_bytes(content)
    os.utime(path, (1, 1))
    assert listing(tmp_path).sources[0].version != source.version
    assert refused(source) == "Changed"
    path.unlink()
    assert refused(source) == "NotFound"
    path.write_bytes(VIDEO)  # it is back
    assert fetched(source) == VIDEO


def test_small_files_are_told_apart_by_every_byte(tmp_path: Path) -> None:
    versions = set()
    for position in range(0, 9000, 250):
        content = bytearray(9000 if position < 8000 else position)
        content[min(position, 4000) % len(content)] = 1 + position % 200
        (tmp_path / "a.mp4").write_bytes(bytes(content))
        versions.add(listing(tmp_path).sources[0].version)
    assert len(versions) > 15


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_a_shard_that_was_replaced_gives_no_member(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"s.{suffix}"
    mode = "w" if suffix == "tar" else "w:gz"
    make_tar(path, [(f"{index}.mp4", VIDEO) for index in range(4)], mode)
    sources = listing(path).sources
    with ShardReader() as shards:
        with sources[0].fetch(shards) as local:
            assert local.read_bytes() == VIDEO
        make_tar(path, [(f"{index}.mp4", OTHER) for index in range(4)], mode)
        assert refused(sources[1], shards) == "Changed"
    assert refused(sources[2]) == "Changed"
    assert fetched(listing(path).sources[2]) == OTHER


def test_a_remote_file_that_is_replaced_while_it_is_copied_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs = fsspec.filesystem("memory")
    fs.pipe(f"/{tmp_path.name}/a.mp4", VIDEO)
    (source,) = listing(f"memory://{tmp_path.name}").sources
    assert fetched(source) == VIDEO
    real = storage.download

    def download(uri: str, target: Path) -> None:
        real(uri, target)
        fs.pipe(f"/{tmp_path.name}/a.mp4", OTHER)

    monkeypatch.setattr(storage, "download", download)
    assert refused(source) == "Changed"


def test_an_object_that_is_replaced_is_noticed_by_its_etag(tmp_path: Path, s3_server: str) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "a.mp4").write_bytes(VIDEO)
    make_tar(tmp_path / "v" / "s.tar", [("m.mp4", VIDEO)])
    upload(s3_server, "versions", tmp_path)
    with storage.reach(StorageAccess(reached(s3_server))):
        loose, member = listing("s3://versions/v").sources
        assert fetched(loose) == fetched(member) == VIDEO
        s3 = client(s3_server)
        s3.put_object(Bucket="versions", Key="v/a.mp4", Body=VIDEO)  # the same content once more
        assert fetched(loose) == VIDEO
        s3.put_object(Bucket="versions", Key="v/a.mp4", Body=OTHER)
        make_tar(tmp_path / "s.tar", [("m.mp4", OTHER)])
        s3.upload_file(str(tmp_path / "s.tar"), "versions", "v/s.tar")
        assert (refused(loose), refused(member)) == ("Changed", "Changed")


def test_files_that_may_not_be_read_wait_for_the_next_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(VIDEO)
    real = os.open

    def denied(path: str, *arguments: int, **more: int) -> int:
        if str(path).endswith("b.mp4"):
            raise PermissionError(13, "Permission denied", path)
        return real(path, *arguments, **more)

    monkeypatch.setattr(os, "open", denied)
    found = listing(tmp_path)
    assert [source.name for source in found.sources] == ["a.mp4"]
    ((source, error),) = found.rejects
    assert (source.name, source.version, error.stage, error.error_type) == ("b.mp4", "", "fetch", "PermissionError")


# --- links and folders ----------------------------------------------------------------------------------------------


def test_links_that_lead_nowhere_refuse_no_folder(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(VIDEO)
    (tmp_path / "self.mp4").symlink_to("self.mp4")
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nothing.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "piped.mp4").symlink_to("pipe.mp4")
    found = listing(tmp_path)
    assert [source.name for source in found.sources] == ["a.mp4"]
    assert found.skipped_reasons == {"broken link": 4}


def test_a_folder_that_may_not_be_read_is_passed_over_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "a.mp4").write_bytes(VIDEO)
    real: Callable[..., object] = os.scandir

    def denied(path: str) -> object:
        if str(path).endswith("lost+found"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", denied)
    found = listing(tmp_path)
    assert [source.name for source in found.sources] == ["a.mp4"]
    assert found.skipped_reasons == {"unreadable folder": 1}
    assert "lost+found may not be read" in found.notes[0]


# --- transport streams and TypeScript -------------------------------------------------------------------------------

SCRIPT = b"import { Gadget } from './Gadget';\n" * 200


def packets(size: int, before: int = 0, count: int = 20) -> bytes:
    return b"\x01" * before + (b"G" + bytes(size - 1)) * count


@pytest.mark.parametrize(
    ("head", "is_video"),
    [
        (packets(188), True),
        (packets(204), True),
        (b"\0\0\0\0" + packets(192), True),
        (packets(188, before=100), True),
        (packets(188, count=2), True),
        (SCRIPT, False),
        (b"G" * 100, False),
        (b"", False),
        (b"GGGG" + SCRIPT, False),
    ],
)
def test_a_transport_stream_is_known_by_its_packets(head: bytes, is_video: bool) -> None:
    assert is_transport_stream(head[:1224]) == is_video


def test_typescript_is_no_video_anywhere(tmp_path: Path) -> None:
    files = {"app.ts": SCRIPT, "film.ts": packets(188), "film.mp4": VIDEO}
    (tmp_path / "v").mkdir()
    for name, content in files.items():
        (tmp_path / "v" / name).write_bytes(content)
        fsspec.filesystem("memory").pipe(f"/{tmp_path.name}/v/{name}", content)
    make_tar(tmp_path / "s.tar", list(files.items()))
    make_tar(tmp_path / "s.tar.gz", list(files.items()), "w:gz")
    remote = f"memory://{tmp_path.name}/v"
    for where in (tmp_path / "v", tmp_path / "v" / "*", tmp_path / "s.tar", tmp_path / "s.tar.gz", remote):
        found = listing(where)
        assert {source.name.rpartition("/")[2] for source in found.sources} == {"film.mp4", "film.ts"}
        assert found.skipped_reasons == {"not media": 1}
        assert [fetched(source)[:1] for source in found.sources if source.name.endswith(".ts")] == [b"G"]
    for place in ("v", remote):
        (tmp_path / "t.csv").write_text("uri\n" + "".join(f"{place}/{name}\n" for name in files))
        found = listing(tmp_path / "t.csv")
        assert [source.name.rpartition("/")[2] for source in found.sources] == ["film.ts", "film.mp4"]
        assert [error.error_type for _, error in found.rejects] == ["NotMedia"]
    with pytest.raises(ValueError, match="nothing to process"):
        listing(tmp_path / "v" / "app.ts")
