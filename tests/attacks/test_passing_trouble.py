"""Trouble that passes is no verdict: each run ends with 1, and the same command does the rest when it has passed."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import helpers_attacks
import helpers_catalog
import helpers_trouble as trouble
import pytest

COUNT = 6


@pytest.fixture(scope="module")
def mapper(tmp_path_factory: pytest.TempPathFactory) -> str:
    return helpers_attacks.small_mapper(tmp_path_factory.mktemp("mapper"))


def videos(folder: Path, count: int = COUNT) -> Path:
    for index in range(count):
        helpers_catalog.video(folder / f"{index}.mp4", 1.0, hue=40 * index)
    return folder


Job = Callable[..., int]


def run(job: str, catalog: object, output: object, mapper: str, *settings: str) -> int:
    if job == "embed":
        return helpers_attacks.embed([catalog], output, *settings)
    return helpers_attacks.generate([catalog], output, mapper, *settings)


def finished(job: str, output: Path) -> dict[str, str]:
    """Status by name; every file of a good soundtrack has the content that its row says."""
    found = helpers_attacks.rows(output, "rows" if job == "embed" else "index")
    for row in found:
        for kind in ("audio", "video") if job == "generate" and row["status"] == "ok" else ():
            content = (output / row[f"{kind}_path"]).read_bytes()
            assert hashlib.sha256(content).hexdigest() == row[f"{kind}_sha256"]
    assert not [path for path in output.rglob(".*") if path.is_file()]
    return {row["source_name"]: row["status"] for row in found}


ALL_WELL = {f"{index}.mp4": "ok" for index in range(COUNT)}


@pytest.mark.parametrize(("job", "size"), [("embed", "28k"), ("generate", "160k")])
def test_full_disk(
    ray_session: None, tmp_path: Path, mapper: str, capsys: pytest.CaptureFixture[str], job: str, size: str
) -> None:
    """the output's disk fills in mid-run: exit 1 with a sentence, what was made is kept; with room, the rest is done"""
    catalog = videos(tmp_path / "catalog")
    with trouble.small_disk(tmp_path / "disk", size) as disk:
        assert run(job, catalog, disk / "output", mapper, "pools.sources_per_block=1") == 1
        told = capsys.readouterr().err
        assert "room" in told or "space" in told
        assert "Traceback" not in told
        assert "rejected" not in {row["status"] for row in helpers_attacks.rows(disk / "output", "rows")}
        trouble.grow(disk, "size=50m")
        assert run(job, catalog, disk / "output", mapper, "pools.sources_per_block=1") == 0
        assert finished(job, disk / "output") == ALL_WELL


@pytest.mark.parametrize("job", ["embed", "generate"])
def test_read_only(
    ray_session: None,
    tmp_path: Path,
    mapper: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    job: str,
) -> None:
    """the output's disk turns read-only after the listing: exit 1; writable again, everything is done"""
    catalog = videos(tmp_path / "catalog")
    with trouble.small_disk(tmp_path / "disk", "50m") as disk:
        trouble.after_listing(monkeypatch, lambda: trouble.grow(disk, "ro"))
        assert run(job, catalog, disk / "output", mapper) == 1
        assert "read-only" in capsys.readouterr().err.lower()
        trouble.grow(disk, "rw")
        assert run(job, catalog, disk / "output", mapper) == 0
        assert finished(job, disk / "output") == ALL_WELL


def broken(catalog: Path, kept: Path) -> dict[str, str]:
    """Each file but the first is gone in a way of its own; the first is as it was."""
    shutil.copytree(catalog, kept)
    (catalog / "1.mp4").unlink()
    with (catalog / "2.mp4").open("r+b") as file:
        file.truncate(3000)
    (catalog / "3.mp4").write_bytes(b"")
    shutil.copyfile(catalog / "0.mp4", catalog / "4.mp4")
    (catalog / "5.mp4").unlink()
    (catalog / "5.mp4").mkdir()
    return {f"{index}.mp4": "waits" for index in range(1, COUNT)}


def mended(catalog: Path, kept: Path) -> None:
    shutil.rmtree(catalog)
    shutil.copytree(kept, catalog)


@pytest.mark.parametrize("job", ["embed", "generate"])
def test_changed_files(
    ray_session: None,
    tmp_path: Path,
    mapper: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    job: str,
) -> None:
    """files deleted, cut, emptied, replaced after the listing: they wait, with exit 1; back again, they are done"""
    catalog, output = videos(tmp_path / "catalog"), tmp_path / "output"
    trouble.after_listing(monkeypatch, lambda: broken(catalog, tmp_path / "kept"))
    assert run(job, catalog, output, mapper) == 1
    assert "again" in capsys.readouterr().err
    waiting = helpers_attacks.unfinished(output)
    assert {row["source_name"] for row in waiting} == set(ALL_WELL) - {"0.mp4"}
    assert {row["reject_stage"] for row in waiting} <= {"fetch", "write"}
    assert finished(job, output) == {"0.mp4": "ok"}
    mended(catalog, tmp_path / "kept")
    assert run(job, catalog, output, mapper) == 0
    assert finished(job, output) == ALL_WELL
    assert helpers_attacks.unfinished(output) == []


@pytest.mark.parametrize("job", ["embed", "generate"])
def test_unmounted_share(
    ray_session: None, tmp_path: Path, mapper: str, monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    """the whole share of the sources is unmounted after the listing: nothing is rejected; back again, all are done"""
    kept, share, output = videos(tmp_path / "kept"), tmp_path / "share", tmp_path / "output"
    with trouble.small_disk(share, "50m"):
        shutil.copytree(kept, share, dirs_exist_ok=True)
        trouble.after_listing(monkeypatch, lambda: trouble.unmount(share))
        assert run(job, share, output, mapper) == 1
        assert finished(job, output) == {}
        assert len(helpers_attacks.unfinished(output)) == COUNT
    with trouble.small_disk(share, "50m"):
        shutil.copytree(kept, share, dirs_exist_ok=True)
        assert run(job, share, output, mapper) == 0
        assert finished(job, output) == ALL_WELL


def test_failing_disk(ray_session: None, tmp_path: Path, mapper: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sources' disk gives EIO after the listing: they wait, with exit 1; on a whole disk they are done"""
    image, disk, output = tmp_path / "image", tmp_path / "disk", tmp_path / "output"
    kept = videos(tmp_path / "kept")
    disk.mkdir()
    if os.system(f"truncate -s 16M {image} && mke2fs -q -t ext4 -O ^has_journal -d {kept} {image}"):
        pytest.skip("mke2fs is not here")
    whole = image.read_bytes()
    used = max((kept / name).stat().st_size for name in ALL_WELL)
    assert used

    def fail() -> None:
        trouble.forget(disk)
        os.truncate(image, 2**20)
        trouble.forget(disk)

    trouble.mount("-o", "loop,ro", str(image), str(disk))
    try:
        trouble.after_listing(monkeypatch, fail)
        code = run("embed", disk, output, mapper)
        statuses = finished("embed", output)
        assert "rejected" not in statuses.values()
        if statuses == ALL_WELL:
            pytest.skip("this system remembers what the disk held")
        assert code == 1
    finally:
        trouble.unmount(disk)
    image.write_bytes(whole)
    trouble.mount("-o", "loop,ro", str(image), str(disk))
    try:
        assert run("embed", disk, output, mapper) == 0
        assert finished("embed", output) == ALL_WELL
    finally:
        trouble.unmount(disk)


def test_retry_rejects(ray_session: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--retry-rejects catalog: what a setting rejected for good is tried again on demand, and only then"""
    catalog, output = videos(tmp_path / "catalog", 2), tmp_path / "output"
    with (catalog / "1.mp4").open("r+b") as file:
        file.truncate(2 * 2**20)
    helpers_catalog.corrupt(catalog / "broken.mp4")
    first = {"0.mp4": "ok", "1.mp4": "rejected", "broken.mp4": "rejected"}
    assert helpers_attacks.embed([catalog], output, "catalog.max_source_mb=1") == 0
    assert finished("embed", output) == first
    assert helpers_attacks.embed([catalog], output) == 0
    assert finished("embed", output) == first
    assert helpers_attacks.embed([catalog], output, more=["--retry-rejects", "catalog"]) == 0
    assert finished("embed", output) == {**first, "1.mp4": "ok"}
    capsys.readouterr()
    assert helpers_attacks.embed([catalog], output) == 0
    assert "nothing to do" in capsys.readouterr().out
