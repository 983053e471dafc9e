"""Attacks on the catalog: tables, links, names, and files that change under a run."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from pathlib import Path

import pytest
from helpers_media import make_tar
from helpers_s3 import client, reached, upload

from v2a_core import storage
from v2a_core.catalog import CatalogListing, CatalogSettings, ShardReader, Source, list_sources, source_id
from v2a_core.media.config import FrameSettings, SegmentSettings
from v2a_core.media.types import MediaError
from v2a_core.storage import StorageAccess
from v2a_core.storage.config import StorageSettings
from v2a_core.tables import rows

VIDEO = b"video bytes " * 5000
OTHER = b"other bytes " * 5000
SECRET = "planted-secret-in-a-link"

HOSTILE = [
    b'{"uri": "a.mp4", "label": "\\ud800"}',
    b'{"uri": "\\udfff\\ud800.mp4"}',
    b'{"uri": "a.mp4", "start_s": 1e308}',
    b'{"uri": "a.mp4", "duration_s": ' + b"9" * 400 + b"}",
    b'{"uri": ' + b"9" * 6000 + b"}",
    b'{"uri": ' + b"[" * 200_000,
    b'{"uri": "a.mp4", "caption": ' + b'{"x":' * 500 + b"1" + b"}" * 500 + b"}",
    b'{"uri": "ssh://127.0.0.1:9/a.mp4"}',
    b'{"uri": "abfs://c@a.invalid/a.mp4"}',
    b'{"uri": "reference://x/a.mp4"}',
    b'{"uri": "github://a:b@c/d.mp4"}',
    b'{"uri": "jupyter://127.0.0.1:9/a.mp4"}',
    b'{"uri": "data:video/mp4;base64,AAAA.mp4"}',
    b'{"uri": "zip://a.mp4::simplecache::nonsense://b.zip"}',
    b'{"uri": "::.mp4"}',
    b'{"uri": "//::/../..//a::b.mp4"}',
    b'{"uri": "~root-of-nobody/a.mp4"}',
    b'{"uri": "/dev/zero.mp4"}',
    b'{"uri": "' + b"../" * 3000 + b'etc/passwd.mp4"}',
    b'{"uri": "loop.mp4"}',
    b'{"uri": "pipe.mp4"}',
    b'\xff\xfe\xff{"uri": "a.mp4"}',
    b"\0" * 100,
    b'"',
    b"NaN",
]


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (folder / name).write_bytes(VIDEO + name.encode())
    return folder


def listing(*inputs: object) -> CatalogListing:
    return list_sources([str(given) for given in inputs], CatalogSettings())


def reason(source: Source, shards: ShardReader | None = None) -> tuple[str, str]:
    with pytest.raises(MediaError) as caught, source.fetch(shards):
        pass
    return caught.value.stage, caught.value.error_type


def stored(found: CatalogListing) -> str:
    """What an output would hold of its rejects."""
    ids = [source_id(source, SegmentSettings(), FrameSettings()) for source, _ in found.rejects]
    assert len(set(ids)) == len(ids)
    made = [
        rows.rejected_row(source, identity, error) for (source, error), identity in zip(found.rejects, ids, strict=True)
    ]
    table = rows.table(made)
    return json.dumps(table.drop_columns(["source"]).to_pylist(), default=str)


@pytest.mark.timeout(60)
def test_hostile_lines(videos: Path) -> None:
    """A table of 25 hostile lines among 26 good ones: each is a reject of its own line."""
    (videos / "loop.mp4").symlink_to("loop.mp4")
    os.mkfifo(videos / "pipe.mp4")
    good = [json.dumps({"uri": "a.mp4", "start_s": index}).encode() for index in range(len(HOSTILE) + 1)]
    lines = [line for pair in zip(good, [*HOSTILE, b""], strict=True) for line in pair]
    (videos / "t.jsonl").write_bytes(b"\n".join(lines))
    found = listing(videos / "t.jsonl")
    assert [source.start_s for source in found.sources] == list(range(len(good)))
    assert len(found.rejects) == len(HOSTILE)
    text = stored(found)
    for number in range(2, 2 * len(HOSTILE) + 1, 2):
        assert f"t.jsonl, line {number}" in text


@pytest.mark.timeout(60)
def test_random_bytes_as_tables(videos: Path) -> None:
    """Tables with random bytes written over them: good lines stay, nothing escapes."""
    chance = random.Random(0)
    good = "".join(f'a.mp4,{index},"a label, ""quoted"""\n' for index in range(40))
    for _ in range(60):
        content = bytearray(f"uri,start_s,label\n{good}".encode())
        at = chance.randrange(20, len(content))
        content[at : at + chance.randrange(1, 12)] = chance.randbytes(6)
        (videos / "t.csv").write_bytes(content)
        found = listing(videos / "t.csv")
        assert len(found.sources) >= 36
        stored(found)


def test_a_cell_of_a_megabyte(videos: Path) -> None:
    """A cell of a megabyte, quoted and not, in the middle of a CSV."""
    big = "x" * 2**20
    (videos / "t.csv").write_text(f'uri,label\na.mp4,x\nb.mp4,{big}\nb.mp4,"{big}"\nc.mp4,x\n')
    found = listing(videos / "t.csv")
    assert [source.name for source in found.sources] == ["a.mp4", "c.mp4"]
    assert len(stored(found)) < 10_000


def test_a_quote_that_is_never_closed(videos: Path) -> None:
    """A quote that is opened in the second row and never closed does not swallow the rest."""
    (videos / "t.csv").write_text('uri,label\na.mp4,"5 inches\nb.mp4,x\nc.mp4,x\n')
    assert [source.name for source in listing(videos / "t.csv").sources] == ["b.mp4", "c.mp4"]


def test_spans_a_hair_apart(videos: Path) -> None:
    """0.3 beside 0.30000000000000004: one source, not two with one id."""
    (videos / "t.csv").write_text("uri,start_s\na.mp4,0.3\na.mp4,0.30000000000000004\n")
    found = listing(videos / "t.csv")
    assert len(found.sources) == 1
    assert found.skipped_reasons == {"duplicate": 1}


@pytest.mark.timeout(60)
def test_links_pipes_and_circles(videos: Path) -> None:
    """A folder with a link to itself, a circle of folders, a dangling link and a pipe that nobody writes."""
    (videos / "self.mp4").symlink_to("self.mp4")
    (videos / "circle").symlink_to(videos)
    (videos / "gone.mp4").symlink_to("nothing.mp4")
    os.mkfifo(videos / "pipe.mp4")
    (videos / "to-pipe.mp4").symlink_to("pipe.mp4")
    assert [source.name for source in listing(videos).sources] == ["a.mp4", "b.mp4", "c.mp4"]


@pytest.mark.parametrize("how", ["written over", "renamed over", "cut", "longer", "deleted"])
def test_a_file_that_changes_after_listing(videos: Path, how: str) -> None:
    """A file is replaced between listing and fetching, its size and time kept where that can be."""
    path = videos / "a.mp4"
    (source, *_) = listing(videos).sources
    before = path.stat()
    if how == "deleted":
        path.unlink()
    elif how == "renamed over":
        (videos / "new").write_bytes(OTHER + b"a.mp4")
        (videos / "new").rename(path)
    else:
        contents = {"written over": OTHER + b"a.mp4", "cut": VIDEO[:-100], "longer": VIDEO + b"a.mp4 and more"}
        path.write_bytes(contents[how])
    if how != "deleted":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert reason(source) == ("fetch", "NotFound" if how == "deleted" else "Changed")


def test_objects_that_change_under_a_run(tmp_path: Path, s3_server: str) -> None:
    """Objects and shards on S3 are replaced between listing and fetching, by others of their size."""
    (tmp_path / "a.mp4").write_bytes(VIDEO)
    make_tar(tmp_path / "s.tar", [("m.mp4", VIDEO), ("n.mp4", VIDEO)])
    upload(s3_server, "attacked", tmp_path)
    with storage.reach(StorageAccess(reached(s3_server))):
        sources = listing("s3://attacked").sources
        make_tar(tmp_path / "s.tar", [("m.mp4", OTHER), ("n.mp4", OTHER)])
        s3 = client(s3_server)
        s3.put_object(Bucket="attacked", Key="a.mp4", Body=OTHER)  # type: ignore[attr-defined]
        s3.upload_file(str(tmp_path / "s.tar"), "attacked", "s.tar")  # type: ignore[attr-defined]
        assert [reason(source) for source in sources] == [("fetch", "Changed")] * 3


@pytest.mark.timeout(60)
def test_a_file_that_never_stops_changing(videos: Path) -> None:
    """A file is replaced all the time while it is fetched again and again: that is told, and nothing else happens."""
    path, contents = videos / "a.mp4", (VIDEO, OTHER)
    path.write_bytes(VIDEO)
    (source, *_) = listing(videos).sources
    stop = threading.Event()

    def rewrite() -> None:
        while not stop.wait(0.001):
            for content in contents:
                (videos / ".new").write_bytes(content)
                (videos / ".new").rename(path)

    thread = threading.Thread(target=rewrite)
    thread.start()
    told = set()
    try:
        until = time.monotonic() + 1
        while time.monotonic() < until:
            try:
                with source.fetch():
                    pass
            except MediaError as error:
                told.add((error.stage, error.error_type))
    finally:
        stop.set()
        thread.join()
    assert told == {("fetch", "Changed")}


def test_secrets_in_links(videos: Path) -> None:
    """Passwords and signatures in the rows of a table: in no name, message or stored URI."""
    links = [
        f"https://user:{SECRET}@host.invalid/a.mp4",
        f"https://127.0.0.1:9/b.mp4?X-Amz-Signature={SECRET}&X-Amz-Credential=x",
        f"s3://key:{SECRET}@bucket/c.mp4",
        f"ftp://user:{SECRET}@127.0.0.1:9/d.mp4",
        f"https://127.0.0.1:9/notes.txt?token={SECRET}",
    ]
    (videos / "t.jsonl").write_text("\n".join(json.dumps({"uri": link}) for link in [*links, "a.mp4"]))
    with storage.reach(StorageAccess(StorageSettings(attempts=1))):
        found = listing(videos / "t.jsonl")
    assert len(found.rejects) == len(links)
    assert SECRET not in stored(found)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (its text is what this is about)
        listing(f"https://user:{SECRET}@host.invalid/a.mp4")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("job", ["embed", "generate"])
@pytest.mark.parametrize("output", ["videos", "videos/emb", "linked/emb"])
def test_an_output_inside_its_input(
    videos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], job: str, output: str
) -> None:
    """An output inside its own input, under its name or through a link: refused before anything is written."""
    from workflows.cli.main import main

    monkeypatch.chdir(videos.parent)
    Path("linked").symlink_to("videos")
    before = sorted(videos.parent.rglob("*"))
    more = ["--mapper", "none"] if job == "generate" else []
    assert main([job, "videos", "--output", output, "--models", "miniature", *more]) == 2
    assert "the next run would take results for sources" in capsys.readouterr().err
    assert sorted(videos.parent.rglob("*")) == before
