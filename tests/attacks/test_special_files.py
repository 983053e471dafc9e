"""Files that are none, and names that nobody would give, in one folder: each costs, at most, itself."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import helpers_attacks
import helpers_catalog
import pytest

from v2a_core.catalog import CatalogSettings, Source, list_sources
from v2a_core.media.types import MediaError


def fifo(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def device(path: Path) -> None:
    try:
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero, without end
    except PermissionError:
        pytest.skip("device files cannot be made here")


def link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


def sparse_start(path: Path) -> None:
    """60 GB behind a good start."""
    helpers_catalog.video(path, 1.0)
    with path.open("r+b") as file:
        file.truncate(60 * 10**9)


def hard_link(path: Path) -> None:
    os.link(path.parent / "good.mp4", path)


def nothing(path: Path) -> None:
    path.touch()


# Name -> maker, what its row is: None for none.
ENTRIES: dict[str, tuple[Callable[[Path], None], str | None]] = {
    "fifo.mp4": (fifo, None),
    "socket.mp4": (unix_socket, None),
    "device.mp4": (device, None),
    "folder.mp4": (lambda path: path.mkdir(), None),
    "folder.tar": (lambda path: path.mkdir(), None),
    "dangling.mp4": (link_to("/nowhere/at/all.mp4"), None),
    "to-a-fifo.mp4": (link_to("fifo.mp4"), None),
    "to-urandom.mp4": (link_to("/dev/urandom"), None),
    "folder-in-a-circle": (link_to("."), None),
    "stdin.mp4": (link_to("/proc/self/fd/0"), None),
    "passwd.mp4": (link_to("/etc/passwd"), "rejected"),
    "version.png": (link_to("/proc/version"), "rejected"),
    "status.jpg": (link_to("/proc/self/status"), "rejected"),
    "terabyte.mp4": (sparse, "rejected"),
    "sixty-gigabytes.mp4": (sparse_start, "ok"),
    "hard-link.mp4": (hard_link, "ok"),
    "to-good.mp4": (link_to("good.mp4"), "ok"),
    "empty.ts": (nothing, None),  # TypeScript has this suffix, too
    **{f"empty.{suffix}": (nothing, "rejected") for suffix in ("mp4", "mkv", "gif", "png", "jpg", "tar", "tgz")},
}
NAMES = {
    "newline": "a\nb.mp4",
    "carriage return": "c\rd.mp4",
    "quotes": "a'\"`b.mp4",
    "percent": "a%20%s%n%00.mp4",
    "hash": "a#b.mp4",
    "like a shard member": "shard.tar#0.mp4",
    "question mark": "a?b=c&d.mp4",
    "a pattern": "[a]*{0..9}.mp4",
    "chained protocol": "zip::a.mp4",
    "like an option": "-rf.mp4",
    "like a URI": "http:example.mp4",
    "like a protocol of ffmpeg": "concat:a|b.mp4",
    "like a pattern of ffmpeg": "image%03d.png",
    "backslashes": "a\\..\\..\\b.mp4",
    "spaces": " a  .mp4",
    "shell": "$(touch pwned);`id`.mp4",
    "255 bytes": "n" * 251 + ".mp4",
    "255 bytes of three each": "語" * 83 + ".mp4",
    "right to left": "\u202egpm.exe\u202c.mp4",
    "zero width": "a\u200b\ufeffb.mp4",
    "combining": "e\u0301.mp4",
    "composed": "\u00e9.mp4",
    "emoji": "🎬🔊.mp4",
    "upper case": "LOUD.MP4",
    "dots": "a..mp4",
    "tab and bell": "a\t\x07b.mp4",
    "an escape sequence": "\x1b[2J\x1b]0;x\x07.mp4",
    "line separator": "a\u2028b.mp4",
    "a NULL column": "null.mp4",
}

# Names of files are made of these: what the others try is tried by embedding them.
MADE = (
    "newline", "quotes", "percent", "hash", "a pattern", "chained protocol", "like an option", "backslashes", "shell",
    "255 bytes of three each", "right to left", "an escape sequence",
)  # fmt: skip


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("special") / "catalog"
    good = helpers_catalog.video(folder / "good.mp4", 1.0).read_bytes()
    for name, (make, _) in ENTRIES.items():
        make(folder / name)
    for index, name in enumerate(NAMES.values()):
        if name.endswith(".png"):
            helpers_catalog.still(folder / name, 7 * index)
        else:
            (folder / name).write_bytes(good)
    (folder / os.fsdecode(b"latin-\xe9.mp4")).write_bytes(good)
    return folder


@pytest.fixture(scope="module")
def embedded(ray_session: None, catalog: Path) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """The exit code and the rows, by name."""
    code = helpers_attacks.embed([catalog], catalog.parent / "embedded", "decoder.time_limit_s=60")
    return code, helpers_attacks.by_name(helpers_attacks.rows(catalog.parent / "embedded"))


@pytest.fixture(scope="module")
def made(ray_session: None, catalog: Path) -> tuple[Path, dict[str, list[dict[str, Any]]]]:
    """Soundtracks of the files with awkward names."""
    output = catalog.parent / "made"
    mapper = helpers_attacks.small_mapper(catalog.parent / "mapper")
    chosen = [str(catalog / NAMES[kind]) for kind in MADE]
    assert helpers_attacks.generate(chosen, output, mapper) == 0
    return output, helpers_attacks.by_name(helpers_attacks.rows(output, "index"))


def test_the_run(embedded: tuple[int, dict[str, list[dict[str, Any]]]]) -> None:
    """FIFOs, devices, links, sparse files, awkward names in one folder: exit 0, nothing waited for, no row twice"""
    code, rows = embedded
    assert code == 0
    assert {row["status"] for row in rows["good.mp4"]} == {"ok"}
    assert not Path("pwned").exists()


@pytest.mark.parametrize("name", ENTRIES)
def test_entry(embedded: tuple[int, dict[str, list[dict[str, Any]]]], name: str) -> None:
    """an entry that is no plain file, or is more or less than it seems"""
    wanted = ENTRIES[name][1]
    stem = name.removesuffix(".tar").removesuffix(".tgz")
    rows = embedded[1].get(name, []) or (embedded[1].get(stem, []) if stem != name else [])
    assert {row["status"] for row in rows} == ({wanted} if wanted else set())
    for row in rows:
        helpers_attacks.assert_sound_row(row)


def test_a_link_to_itself(tmp_path: Path) -> None:
    """A link to itself in a folder is passed over, and its neighbour is listed"""
    helpers_catalog.video(tmp_path / "good.mp4", 1.0)
    (tmp_path / "circular.mp4").symlink_to("circular.mp4")
    assert [source.name for source in list_sources([str(tmp_path)], CatalogSettings()).sources] == ["good.mp4"]


def safe(name: str) -> str:
    return "".join("_" if ord(letter) < 32 or letter in "\\\x7f" else letter for letter in name)[-150:]


@pytest.mark.parametrize("kind", NAMES)
def test_name(embedded: tuple[int, dict[str, list[dict[str, Any]]]], kind: str) -> None:
    """a good file with an awkward name is embedded like any other"""
    rows = embedded[1][safe(NAMES[kind])]
    assert {row["status"] for row in rows} == {"ok"}, rows[0]["reject_message"]


def test_a_name_that_is_no_text(embedded: tuple[int, dict[str, list[dict[str, Any]]]]) -> None:
    """A file whose name is not UTF-8 is rejected with a name that can be read"""
    (row,) = [row for name, rows in embedded[1].items() if name.startswith("latin-") for row in rows]
    assert (row["status"], row["reject_type"]) == ("rejected", "BadName")


@pytest.mark.parametrize("kind", MADE)
def test_name_made(made: tuple[Path, dict[str, list[dict[str, Any]]]], kind: str) -> None:
    """a file with an awkward name, named on the command line, gets its soundtrack inside the output"""
    output, index = made
    (row,) = index[safe(NAMES[kind])]
    assert row["status"] == "ok", row["reject_message"]
    for column in ("audio_path", "video_path"):
        path = row.get(column, row.get(column.replace("path", "uri")))
        if path is not None:
            file = (output / path).resolve()
            assert file.is_file()
            assert output.resolve() in file.parents


def test_replaced_by_a_fifo(tmp_path: Path) -> None:
    """A file that becomes a FIFO after it was listed is not waited for"""
    path = helpers_catalog.video(tmp_path / "a.mp4", 1.0)
    (source,) = list_sources([str(tmp_path)], CatalogSettings()).sources
    path.unlink()
    os.mkfifo(path)
    refused_quickly(source)


@pytest.mark.parametrize("replace", [link_to("/dev/zero"), link_to("/nowhere.mp4"), lambda path: path.mkdir()])
def test_replaced_by_something_else(tmp_path: Path, replace: Callable[[Path], None]) -> None:
    """A file that becomes a device, a dangling link or a folder after it was listed is for the next run"""
    path = helpers_catalog.video(tmp_path / "a.mp4", 1.0)
    (source,) = list_sources([str(tmp_path)], CatalogSettings()).sources
    path.unlink()
    replace(path)
    refused_quickly(source)


def refused_quickly(source: Source) -> None:
    started, caught = time.monotonic(), []

    def fetch() -> None:
        try:
            with source.fetch() as local, local.open("rb") as file:
                file.read(9)
        except MediaError as error:
            caught.append(error)

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    thread.join(10)
    assert time.monotonic() - started < 9
    assert caught
    assert caught[0].transient


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["-rf.mp4", "--output.mp4", "-"])
def test_arguments_that_look_like_options(here: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A file called like an option, given bare: a plain message and exit 2, and never an option that acts"""
    helpers_catalog.video(here / "good.mp4", 1.0)
    (here / name).write_bytes((here / "good.mp4").read_bytes())
    try:
        code = helpers_attacks.embed([name], here / "output", more=["--dry-run"])
    except SystemExit as stopped:
        code = stopped.code if isinstance(stopped.code, int) else 1
    assert code == 2
    assert capsys.readouterr().err.strip()
