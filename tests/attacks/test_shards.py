"""Shards from strangers: bombs, names that lead elsewhere, links, damage; what is whole in them is used."""

from __future__ import annotations

import gzip
import json
import os
import tarfile
import time
from pathlib import Path
from typing import Any

import helpers_attacks
import helpers_catalog
import pytest
from helpers_media import make_tar

from v2a_core.catalog import CatalogListing, CatalogSettings, list_sources

Content = list[tuple[str, bytes] | tarfile.TarInfo]


def info(name: str, kind: bytes, target: str = "", size: int = 0) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.size = kind, target, size
    return entry


LINKS = {
    "a hard link to a system file": info("a.mp4", tarfile.LNKTYPE, "/etc/passwd"),
    "a hard link to a member": info("a.mp4", tarfile.LNKTYPE, "good.mp4"),
    "a symbolic link upwards": info("a.mp4", tarfile.SYMTYPE, "../../../../etc/passwd"),
    "a symbolic link to itself": info("a.mp4", tarfile.SYMTYPE, "a.mp4"),
    "a FIFO": info("a.mp4", tarfile.FIFOTYPE),
    "a device": info("a.mp4", tarfile.CHRTYPE),
    "a folder": info("a.mp4", tarfile.DIRTYPE),
    "a sparse file of GNU": info("a.mp4", tarfile.GNUTYPE_SPARSE),
    "an unknown kind": info("a.mp4", b"Z"),
}
NAMES = {
    "a way upwards": "../../../../tmp/escaped.mp4",
    "an absolute path": "/tmp/escaped.mp4",
    "a home": "~/escaped.mp4",
    "a way upwards of Windows": "..\\..\\escaped.mp4",
    "a URI": "s3://bucket/escaped.mp4",
    "a hash": "a#b#c.mp4",
    "dots": "./././a.mp4",
    "a newline": "a\nb.mp4",
    "5,000 letters": "n" * 5000 + ".mp4",
    "200 folders": "d/" * 200 + "a.mp4",
    "nothing but a suffix": ".mp4",
    "an option": "-rf.mp4",
}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return helpers_catalog.video(tmp_path_factory.mktemp("video") / "good.mp4", 1.0).read_bytes()


def listed(shard: Path, **settings: int) -> CatalogListing:
    return list_sources([str(shard)], CatalogSettings(**settings))


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
@pytest.mark.parametrize("kind", LINKS)
def test_links(tmp_path: Path, video: bytes, suffix: str, kind: str) -> None:
    """a shard's member that is no file is passed over, its neighbours are used"""
    shard = tmp_path / f"shard{suffix}"
    make_tar(shard, [("good.mp4", video), LINKS[kind], ("late.mp4", video)], "w:gz" if suffix == ".tar.gz" else "w")
    listing = listed(shard)
    assert [source.member for source in listing.sources if source.size] == ["good.mp4", "late.mp4"]
    for source in listing.sources:
        with source.fetch() as path:
            assert path.read_bytes() in (video, b"")


@pytest.mark.parametrize("kind", NAMES)
def test_names(tmp_path: Path, video: bytes, kind: str) -> None:
    """a shard's member whose name is or leads to"""
    shard = make_tar(tmp_path / "shard.tar", [(NAMES[kind], video)])
    for source in listed(shard).sources:
        assert not source.name.startswith(("/", "~"))
        assert ".." not in source.name.split("/")
        with source.fetch() as path:
            assert path.read_bytes() == video
            assert "escaped" not in str(path)
    assert not Path("/tmp/escaped.mp4").exists()


def test_gzip_bomb(tmp_path: Path, video: bytes) -> None:
    """A shard of 3 MB that unpacks to 3 GB ends with a reject in seconds, and its first member is kept"""
    shard = tmp_path / "bomb.tar.gz"
    plain = make_tar(tmp_path / "plain.tar", [("good.mp4", video)]).read_bytes()[: 512 + -(-len(video) // 512) * 512]
    header = tarfile.TarInfo("zeros.mp4")
    header.size = 3 * 2**30
    zeros = gzip.compress(bytes(2**24), 9)
    with shard.open("wb") as file:
        file.write(gzip.compress(plain + header.tobuf()))
        for _ in range(header.size // 2**24):
            file.write(zeros)
    started = time.monotonic()
    listing = listed(shard)
    assert [source.member for source in listing.sources] == ["good.mp4"]
    assert [error.error_type for _, error in listing.rejects] == ["DecompressionBomb"]
    assert time.monotonic() - started < 60


def test_nested_bomb(tmp_path: Path) -> None:
    """A shard inside a shard inside a shard is not unpacked"""
    inner = bytes(10_000)
    for level in range(5):
        make_tar(tmp_path / f"{level}.tar.gz", [("inner.tar.gz", inner), ("a.mp4", b"")], "w:gz")
        inner = (tmp_path / f"{level}.tar.gz").read_bytes()
    listing = listed(tmp_path / "4.tar.gz")
    assert len(listing.sources) + len(listing.rejects) <= 1


@pytest.mark.parametrize("field", ["size", "checksum", "size of 8 GB", "negative size", "size in base 256"])
def test_broken_headers(tmp_path: Path, video: bytes, field: str) -> None:
    """a shard whose second header has a broken"""
    shard = make_tar(tmp_path / "shard.tar", [("good.mp4", video), ("bad.mp4", video)])
    with tarfile.open(shard) as archive:
        start = archive.getmembers()[1].offset
    content = bytearray(shard.read_bytes())
    head = tarfile.TarInfo("bad.mp4")
    head.size = {"size of 8 GB": 2**33 - 1, "negative size": 0, "size in base 256": 2**60}.get(field, len(video))
    block = bytearray(head.tobuf(tarfile.GNU_FORMAT))
    if field == "size":
        block[124:136] = b"not a number"
    elif field == "negative size":
        block[124:136] = b"\xff" * 12
    elif field == "checksum":
        block[148:156] = b"0000000\0"
    if field in ("size", "negative size"):
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
    content[start : start + 512] = block
    shard.write_bytes(content)
    listing = listed(shard)
    assert [source.member for source in listing.sources] == ["good.mp4"]
    assert listing.rejects


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK])
def test_huge_extension_headers(tmp_path: Path, video: bytes, kind: bytes) -> None:
    """a header that declares a name of 100 GB is refused without reading it"""
    head = tarfile.TarInfo("x")
    head.type, head.size = kind, 100 * 2**30
    shard = tmp_path / "shard.tar"
    good = make_tar(tmp_path / "plain.tar", [("good.mp4", video)]).read_bytes()[: 512 + -(-len(video) // 512) * 512]
    shard.write_bytes(good + head.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
    os.truncate(shard, 200 * 2**30)  # sparse
    listing = listed(shard)
    assert [source.member for source in listing.sources] == ["good.mp4"]
    assert listing.rejects


@pytest.mark.parametrize(
    "records", [b"35 path=../../../../etc/passwd.mp4\n", b"999999999 path=a.mp4\n", b"x=y\n", b"\xff\xfe\n"]
)
def test_extended_attributes(tmp_path: Path, video: bytes, records: bytes) -> None:
    """a shard with extended attributes that are"""
    head = tarfile.TarInfo("pax")
    head.type, head.size = tarfile.XHDTYPE, len(records)
    shard = tmp_path / "shard.tar"
    good = make_tar(tmp_path / "plain.tar", [("good.mp4", video)]).read_bytes()
    shard.write_bytes(head.tobuf() + records.ljust(512, b"\0") + good)
    try:
        listing = listed(shard)
    except ValueError:
        return  # refused as a whole
    assert listing.sources or listing.rejects
    for source in listing.sources:
        assert ".." not in source.name


def test_a_million_headers(tmp_path: Path) -> None:
    """A shard of 100,000 empty members is listed within a minute"""
    shard = tmp_path / "many.tar"
    with shard.open("wb") as file:
        for index in range(100_000):
            file.write(tarfile.TarInfo(f"{index:06d}.txt").tobuf())
        file.write(tarfile.TarInfo("last.mp4").tobuf() + bytes(1024))
    started = time.monotonic()
    assert [source.member for source in listed(shard).sources] == ["last.mp4"]
    assert time.monotonic() - started < 60


@pytest.mark.parametrize(
    "note",
    [b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b'{"label": {"a": 1}}', b'{"label": "' + b"x" * 20_000 + b'"}',
             b"[" * 100_000, b'{"label": "\\ud800"}', b'{"label": ' + b"9" * 5000 + b"}", bytes(2**20 + 1)],
    ids=["cut", "a list", "null", "text", "no UTF-8", "nested", "a long label", "deep", "half a character",
         "a number of 5,000 digits", "larger than a megabyte"],
)  # fmt: skip
def test_metadata(tmp_path: Path, video: bytes, note: bytes) -> None:
    """a member is used, without the label, when the JSON beside it is"""
    shard = make_tar(tmp_path / "shard.tar", [("a.json", note), ("a.mp4", video), ("b.mp4", video)])
    listing = listed(shard)
    assert [source.member for source in listing.sources] == ["a.mp4", "b.mp4"]
    json.dumps([source.to_row() for source in listing.sources], ensure_ascii=False).encode()


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tgz", ".tar.zst"])
@pytest.mark.parametrize("content", [b"", bytes(100), bytes(10_240), b"<html>", bytes(range(256)) * 100])
def test_no_shard(tmp_path: Path, suffix: str, content: bytes) -> None:
    """bytes that are no shard, called one"""
    (tmp_path / f"shard{suffix}").write_bytes(content)
    helpers_catalog.still(tmp_path / "good.png")
    listing = listed(tmp_path)
    assert [source.name for source in listing.sources] == ["good.png"]


@pytest.fixture(scope="module")
def run(ray_session: None, tmp_path_factory: pytest.TempPathFactory, video: bytes) -> dict[str, list[dict[str, Any]]]:
    """One run over shards that are cut, shuffled, changed after listing."""
    folder = tmp_path_factory.mktemp("shards")
    members: Content = [(f"{index}.mp4", video) for index in range(4)]
    notes: Content = [(f"{index}.json", json.dumps({"label": f"l{index}"}).encode()) for index in (3, 1, 0, 2)]
    catalog = folder / "catalog"
    catalog.mkdir()
    make_tar(catalog / "shuffled.tar", [*notes[:2], *reversed(members), *notes[2:]])
    whole = make_tar(folder / "whole.tar", members).read_bytes()
    (catalog / "cut.tar").write_bytes(whole[: len(whole) // 2])
    packed = gzip.compress(whole)
    (catalog / "cut.tar.gz").write_bytes(packed[: len(packed) // 2])
    damaged = bytearray(packed)
    damaged[len(packed) * 3 // 4] ^= 0xFF
    (catalog / "damaged.tgz").write_bytes(damaged)
    make_tar(catalog / "twice.tar", [("a.mp4", video), ("a.mp4", video)])
    make_tar(catalog / "up.tar", [("../../../up.mp4", video), ("..", b"")])
    mapper = helpers_attacks.small_mapper(folder / "mapper")
    assert helpers_attacks.generate([catalog], folder / "made", mapper) == 0
    outside = [path for path in folder.rglob("*up*") if (folder / "made") not in path.parents and path.suffix != ".tar"]
    assert not outside
    return helpers_attacks.by_name(helpers_attacks.rows(folder / "made", "index"))


@pytest.mark.parametrize(("shard", "least"), [("shuffled", 4), ("cut", 1), ("damaged", 0), ("twice", 1), ("up", 1)])
def test_made_of(run: dict[str, list[dict[str, Any]]], shard: str, least: int) -> None:
    """soundtracks of what is whole in a shard that is"""
    rows = [row for name, found in run.items() if name.startswith(shard) for row in found]
    good = [row for row in rows if row["status"] == "ok"]
    assert len(good) >= least
    if shard == "shuffled":
        assert {row["label"] for row in good} == {f"l{index}" for index in range(4)}
    if shard in ("cut", "damaged"):
        assert len(good) < len(rows)
    assert len({row["segment_id"] if "segment_id" in row else row["source_id"] for row in rows}) == len(rows)
