from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
from helpers_media import make_tar

from v2a_core.catalog import CatalogListing, CatalogSettings, Source, list_sources, source_id, source_key
from v2a_core.catalog.files import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from v2a_core.media.config import FrameSettings, SegmentSettings
from v2a_core.media.types import MediaError

VIDEO = b"video bytes " * 50
TS = (b"G" + bytes(187)) * 20


def listing(*inputs: object, **settings: int) -> CatalogListing:
    return list_sources([str(given) for given in inputs], CatalogSettings(**settings))


def names(*inputs: object) -> list[str]:
    return [source.name for source in listing(*inputs).sources]


def touch(folder: Path, *paths: str, content: bytes = VIDEO) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def content(source: Source) -> bytes:
    with source.fetch() as path:
        return path.read_bytes()


def test_a_folder_is_listed_by_name_and_the_rest_is_counted(tmp_path: Path) -> None:
    touch(tmp_path, "b/x.mp4", "a/x.MP4", "a/y.mov", "c.png", "notes.txt", "labels.csv", ".hidden/x.mp4", ".part.mp4")
    found = listing(tmp_path)
    assert [source.name for source in found.sources] == ["a/x.MP4", "a/y.mov", "b/x.mp4", "c.png"]
    assert [source.kind for source in found.sources] == ["video", "video", "video", "image"]
    assert found.skipped == 2
    assert found.skipped_reasons == {"not media": 2}
    assert found.sources[0].uri == str(tmp_path / "a/x.MP4")
    assert content(found.sources[0]) == VIDEO
    assert listing(tmp_path).sources == found.sources


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path, "real/x.mp4", "catalog/y.mp4")
    (tmp_path / "catalog/more").symlink_to(tmp_path / "real")
    (tmp_path / "real/circle").symlink_to(tmp_path / "catalog")
    (tmp_path / "catalog/broken.mp4").symlink_to(tmp_path / "nothing.mp4")
    assert "more/x.mp4" in names(tmp_path / "catalog")
    assert len(names(tmp_path / "catalog")) == 2


@pytest.mark.parametrize("suffix", sorted(VIDEO_SUFFIXES | IMAGE_SUFFIXES))
def test_every_kind_of_file(tmp_path: Path, suffix: str) -> None:
    head = TS if suffix == ".ts" else VIDEO
    assert names(touch(tmp_path, f"a{suffix}", content=head) / f"a{suffix}") == [f"a{suffix}"]


@pytest.mark.parametrize(
    "name",
    [
        "a b.mp4",
        "100%.mp4",
        "%20.mp4",
        "ünï 日本.mp4",
        "[x].mp4",
        "{a,b}.mp4",
        "{1..3}.mp4",
        "what?.mp4",
        "st*r.mp4",
        "a#b.mp4",
        "c::d.mp4",
        "e:f.mp4",
        "~.mp4",
    ],
)
def test_names_that_exist_are_taken_literally(tmp_path: Path, name: str) -> None:
    touch(tmp_path, name, "x.mp4")
    (source,) = listing(tmp_path / name).sources
    assert source.name == name
    assert content(source) == VIDEO
    assert {source.name for source in listing(tmp_path).sources} == {name, "x.mp4"}


def test_globs_and_braces(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.mp4", "a/2.mp4", "b/1.mp4", "b/c/3.mp4", "b/c/3.txt")
    assert names(tmp_path / "*/1.mp4") == ["a/1.mp4", "b/1.mp4"]
    assert names(tmp_path / "**/*.mp4") == ["a/1.mp4", "a/2.mp4", "b/1.mp4", "b/c/3.mp4"]
    assert names(tmp_path / "?") == ["a/1.mp4", "a/2.mp4", "b/1.mp4", "b/c/3.mp4"]
    assert names(tmp_path / "{a,b}/*.mp4") == ["1.mp4", "2.mp4", "1.mp4"]
    found = listing(tmp_path / "a/{1..3}.mp4")
    assert [source.name for source in found.sources] == ["1.mp4", "2.mp4"]
    ((missing, error),) = found.rejects
    assert missing.uri.endswith("a/3.mp4")
    assert error.error_type == "NotFound"


def test_nothing_is_an_error_that_says_what_was_looked_at(tmp_path: Path) -> None:
    touch(tmp_path, "docs/a.txt", "docs/b.txt", "x.mp4")
    with pytest.raises(ValueError, match="catalog is empty"):
        listing()
    with pytest.raises(ValueError, match="looked at 2 files"):
        listing(tmp_path / "docs")
    with pytest.raises(ValueError, match="does not exist"):
        listing(tmp_path / "x.mp4", tmp_path / "y.mp4")
    with pytest.raises(ValueError, match="matches no file"):
        listing(tmp_path / "*.mkv")
    with pytest.raises(ValueError, match="neither a video"):
        listing(tmp_path / "docs/a.txt")
    with pytest.raises(ValueError, match="more than 1,000,000"):
        listing(tmp_path / "{0..99999999999}.mp4")
    (tmp_path / "nobody").mkdir()
    with pytest.raises(ValueError, match="looked at 0 files"):
        listing(tmp_path / "nobody")


def test_the_same_file_is_listed_once(tmp_path: Path) -> None:
    touch(tmp_path, "x.mp4", "y.mp4")
    found = listing(tmp_path, tmp_path / "x.mp4", f"file://{tmp_path}/y.mp4", tmp_path / "." / "x.mp4")
    assert [source.name for source in found.sources] == ["x.mp4", "y.mp4"]
    assert found.skipped_reasons["duplicate"] == 3


def test_relative_inputs_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "x.mp4")
    monkeypatch.chdir(tmp_path)
    assert listing("x.mp4").sources == listing(tmp_path).sources


def test_size_limit(tmp_path: Path) -> None:
    touch(tmp_path, "big.mp4", content=b"x" * (2 * 2**20))
    touch(tmp_path, "small.mp4")
    found = listing(tmp_path, max_source_mb=1)
    assert [source.name for source in found.sources] == ["small.mp4"]
    assert found.rejects[0][1].error_type == "TooLarge"


def test_names_that_are_not_utf8_are_rejected(tmp_path: Path) -> None:
    touch(tmp_path, "x.mp4")
    try:
        (tmp_path / os.fsdecode(b"bad\xff.mp4")).write_bytes(VIDEO)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    found = listing(tmp_path)
    assert [source.name for source in found.sources] == ["x.mp4"]
    ((source, error),) = found.rejects
    assert error.error_type == "BadName"
    assert source.uri.encode()


# --- shards ---------------------------------------------------------------------------------------------------------

WEBDATASET = [
    ("000.json", json.dumps({"label": "rain", "split": "test", "caption": "from json", "id": 7}).encode()),
    ("000.mp4", VIDEO + b"0"),
    ("cats/001.mp4", VIDEO + b"1"),
    ("cats/001.txt", b" a cat\n"),
    ("000.txt", b"from txt"),
    ("002.jpg", VIDEO + b"2"),
    ("002.json", b"{broken"),
    ("003.flac", b"audio"),
]


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tgz", "tar.zst"])
def test_a_shard_in_webdataset_layout(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"shard-000.{suffix}"
    make_tar(path, WEBDATASET, "w" if suffix in ("tar", "tar.zst") else "w:gz")
    if suffix == "tar.zst":
        path.write_bytes(pa.compress(path.read_bytes(), "zstd", asbytes=True))
    found = listing(path)
    first, second, third = found.sources
    assert (first.label, first.split, first.caption) == ("rain", "test", "from json")
    assert (second.label, second.caption) == (None, "a cat")
    assert third.kind == "image"
    assert [source.name for source in found.sources] == [
        "shard-000/000.mp4",
        "shard-000/cats/001.mp4",
        "shard-000/002.jpg",
    ]
    assert first.uri == f"{path}#000.mp4"
    assert [content(source)[-1:] for source in found.sources] == [b"0", b"1", b"2"]
    assert found.skipped_reasons == {"unreadable metadata in a shard": 1, "not media": 1}
    assert found.rejects == []


def test_shards_by_brace_and_in_a_folder(tmp_path: Path) -> None:
    for index in range(3):
        make_tar(tmp_path / f"s-{index:03d}.tar", [("a.mp4", VIDEO + bytes([index]))])
    touch(tmp_path, "loose.mp4")
    found = listing(f"{tmp_path}/s-{{000..003}}.tar")
    assert [source.name for source in found.sources] == ["s-000/a.mp4", "s-001/a.mp4", "s-002/a.mp4"]
    assert [error.error_type for _, error in found.rejects] == ["NotFound"]
    assert names(tmp_path) == ["loose.mp4", "s-000/a.mp4", "s-001/a.mp4", "s-002/a.mp4"]


def test_a_cut_shard_gives_its_good_members_and_a_reject(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar", [("0.mp4", VIDEO), ("1.mp4", VIDEO), ("2.mp4", VIDEO)])
    whole = path.read_bytes()
    with tarfile.open(path) as archive:
        starts = [member.offset for member in archive]
    for cut, good in (
        (starts[2] + 700, 2),
        (starts[2], 2),
        (starts[1] + 100, 1),
        (starts[0] + 600, 0),
        (10, 0),
        (0, 0),
    ):
        path.write_bytes(whole[:cut])
        found = listing(path)
        assert [source.name for source in found.sources] == [f"a/{index}.mp4" for index in range(good)]
        ((source, error),) = found.rejects
        assert source.uri == str(path)
        assert error.stage == "catalog"
    for compressed in (gzip.compress(whole)[:60], gzip.compress(whole[: starts[2] + 700])):
        (tmp_path / "b.tar.gz").write_bytes(compressed)
        assert len(listing(tmp_path / "b.tar.gz").rejects) == 1


def test_a_broken_header_ends_a_shard_with_a_reject(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar", [("0.mp4", VIDEO), ("1.mp4", VIDEO)])
    with tarfile.open(path) as archive:
        start = list(archive)[1].offset
    whole = bytearray(path.read_bytes())
    whole[start + 150] ^= 0xFF
    path.write_bytes(whole)
    found = listing(path)
    assert [source.name for source in found.sources] == ["a/0.mp4"]
    assert found.rejects[0][1].error_type == "BadHeader"


def test_hostile_members_decide_no_path(tmp_path: Path) -> None:
    def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        return info

    hostile = [
        "../../up.mp4",
        "/absolute.mp4",
        "a/../../../b.mp4",
        "x" * 4000 + ".mp4",
        "new\nline\t.mp4",
        "back\\slash.mp4",
        "...mp4",
    ]
    path = make_tar(
        tmp_path / "a.tar",
        [
            special("link.mp4", tarfile.SYMTYPE, "/etc/passwd"),
            special("hard.mp4", tarfile.LNKTYPE, "/etc/passwd"),
            special("device.mp4", tarfile.CHRTYPE),
            special("pipe.mp4", tarfile.FIFOTYPE),
            special("folder.mp4", tarfile.DIRTYPE),
            *[(name, VIDEO) for name in hostile],
        ],
    )
    found = listing(path)
    assert len(found.sources) == len(hostile)
    assert found.skipped_reasons == {"link, device or sparse file in a shard": 4}
    for source in found.sources:
        joined = os.path.normpath(tmp_path / source.name)
        assert joined.startswith(f"{tmp_path}/a/") or joined == f"{tmp_path}/a"
        assert all(len(part) <= 150 for part in source.name.split("/"))
        assert "\n" not in source.name
        with source.fetch() as local:
            assert local.read_bytes() == VIDEO
            assert local.name == "source.mp4"
        assert not local.exists()


def test_a_large_member_ends_a_compressed_shard(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "bomb.tar.gz", [("0.mp4", VIDEO), ("1.mp4", bytes(3 * 2**20)), ("2.mp4", VIDEO)], "w:gz")
    found = listing(path, max_source_mb=1)
    assert [source.name for source in found.sources] == ["bomb/0.mp4"]
    assert {error.error_type for _, error in found.rejects} == {"TooLarge"}


# --- remote ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def bucket(tmp_path: Path) -> str:
    fs = fsspec.filesystem("memory")
    root = f"/{tmp_path.name}"
    for index in range(10):
        fs.pipe(f"{root}/v/{index} %.mp4", VIDEO + bytes([index]))
    make_tar(tmp_path / "s.tar", [("m.mp4", VIDEO)])
    fs.pipe(f"{root}/s.tar", (tmp_path / "s.tar").read_bytes())
    rows = "\n".join(f"v/{index} %.mp4" for index in range(11))
    fs.pipe(f"{root}/t.csv", f"uri\n{rows}\n".encode())
    return f"memory:/{root}"


def test_remote_prefixes_globs_shards_and_tables(bucket: str) -> None:
    found = listing(bucket)
    assert [source.name for source in found.sources] == ["s/m.mp4", *[f"v/{index} %.mp4" for index in range(10)]]
    assert content(found.sources[0]) == VIDEO
    assert [content(source)[-1] for source in found.sources[1:]] == list(range(10))
    by_glob = listing(f"{bucket}/v/*.mp4").sources
    assert [source.uri for source in by_glob] == [source.uri for source in found.sources[1:]]
    by_table = listing(f"{bucket}/t.csv")
    assert [source.uri for source in by_table.sources] == [source.uri for source in by_glob]
    assert [source.version for source in by_table.sources] == [source.version for source in by_glob]
    assert len(by_table.rejects) == 1
    assert names(f"{bucket}/v/3 %.mp4") == ["3 %.mp4"]
    with pytest.raises(ValueError, match="does not exist"):
        listing(f"{bucket}/nothing")


# --- identity and fetching ------------------------------------------------------------------------------------------


def test_rows_travel(tmp_path: Path) -> None:
    make_tar(tmp_path / "s.tar", WEBDATASET)
    for source in listing(tmp_path).sources:
        assert Source.from_row({**source.to_row(), "more": 1}) == source
        assert Source.from_row(json.loads(json.dumps(source.to_row()))) == source


def test_ids_depend_on_content_span_and_sampling(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    a, b = listing(tmp_path).sources
    segments, frames = SegmentSettings(), FrameSettings()
    base = source_id(a, segments, frames)
    assert len(base) == 32
    assert base == source_id(Source.from_row(a.to_row()), SegmentSettings(), FrameSettings())
    os.utime(tmp_path / "a.mp4", ns=(1, 1))
    assert source_id(listing(tmp_path).sources[0], segments, frames) == base  # touched is not changed
    touch(tmp_path, "a.mp4", content=VIDEO[::-1])
    changed = listing(tmp_path).sources[0]
    others = {
        source_id(b, segments, frames),
        source_id(changed, segments, frames),
        source_id(Source.from_row({**a.to_row(), "start_s": 1.0}), segments, frames),
        source_id(a, SegmentSettings(length_s=5.0), frames),
        source_id(a, segments, FrameSettings(frames_per_second=2.0)),
    }
    assert len(others | {base}) == 6
    assert source_id(Source.from_row({**a.to_row(), "label": "x"}), segments, frames) == base


def test_a_place_keeps_its_key_whatever_lies_there(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("uri,start_s\na.mp4,\na.mp4,1\nb.mp4,\n")
    touch(tmp_path, "b.mp4")
    found = listing(tmp_path / "t.csv")
    gone = {source_key(source) for source, _ in found.rejects}
    touch(tmp_path, "a.mp4")
    there = listing(tmp_path / "t.csv").sources
    assert {source_key(source) for source in there} == gone | {source_key(found.sources[0])}
    assert len({source_key(source) for source in there}) == 3
    sampling = SegmentSettings(), FrameSettings()
    assert not {source_id(source, *sampling) for source, _ in found.rejects} & {
        source_id(source, *sampling) for source in there
    }


def test_what_cannot_be_fetched(tmp_path: Path) -> None:
    make_tar(tmp_path / "s.tar", [("m.mp4", VIDEO)])
    touch(tmp_path, "x.mp4")
    member, loose = listing(tmp_path).sources
    (tmp_path / "x.mp4").unlink()
    (tmp_path / "s.tar").write_bytes(b"short")
    for source, error_type in ((loose, "NotFound"), (member, "Truncated")):
        with pytest.raises(MediaError) as caught, source.fetch():
            pass
        assert (caught.value.stage, caught.value.error_type) == ("fetch", error_type)


def test_errors_of_the_user_of_a_fetched_file_pass_through(tmp_path: Path) -> None:
    (source,) = listing(touch(tmp_path, "x.mp4")).sources
    with pytest.raises(FileNotFoundError, match="mine"), source.fetch():
        raise FileNotFoundError("mine")


def test_a_shard_of_many_members_is_listed_without_reading_them(tmp_path: Path) -> None:
    fs = fsspec.filesystem("memory")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for index in range(300):
            info = tarfile.TarInfo(f"{index:04d}.mp4")
            info.size = 1000
            archive.addfile(info, io.BytesIO(bytes(1000)))
    fs.pipe(f"/{tmp_path.name}/big.tar", buffer.getvalue())
    found = listing(f"memory://{tmp_path.name}/big.tar")
    assert [source.member_offset for source in found.sources] == [512 + 1536 * index for index in range(300)]
