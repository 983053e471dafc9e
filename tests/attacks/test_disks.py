"""Outputs that cannot be written, or hold what is not theirs: told at once, in a sentence, with nothing lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import helpers_attacks
import helpers_catalog
import helpers_embeddings
import helpers_trouble as trouble
import pytest
from helpers_training import PERCEPTRON

from workflows.cli.main import main

TRAIN = helpers_attacks.arguments(
    (*PERCEPTRON,
     "training.epochs=2", "training.global_batch=64", "training.precision=fp32", "scaling.threads=1",
     "scaling.max_failures=0")
)  # fmt: skip


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalog")
    for index in range(3):
        helpers_catalog.video(folder / f"{index}.mp4", 1.0, hue=70 * index)
    return folder


@pytest.fixture(scope="module")
def made(ray_session: None, catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good outputs: embedded/ and made/, and a mapper/."""
    folder = tmp_path_factory.mktemp("made")
    mapper = helpers_attacks.small_mapper(folder)
    assert helpers_attacks.embed([catalog], folder / "embedded") == 0
    assert helpers_attacks.generate([catalog], folder / "made", mapper) == 0
    return folder


def a_file(path: Path) -> Path:
    path.write_text("mine")
    return path


PLACES: dict[str, Callable[[Path], Path]] = {
    "a file": lambda folder: a_file(folder / "output"),
    "below a file": lambda folder: a_file(folder / "file") / "output",
    "a device": lambda folder: Path("/dev/null"),
    "below a device": lambda folder: Path("/dev/null/output"),
    "below /proc": lambda folder: Path("/proc/output"),
    "below /sys": lambda folder: Path("/sys/output"),
    "a name of 300 letters": lambda folder: folder / ("n" * 300),
    "a path of 5,000 letters": lambda folder: folder / "/".join(["n" * 200] * 25),
}


@pytest.mark.parametrize("job", ["embed", "generate"])
@pytest.mark.parametrize("kind", PLACES)
def test_places(catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, job: str) -> None:
    """an output that cannot be: exit 2 with its name before anything starts, and nothing of anybody is changed"""
    output = PLACES[kind](tmp_path)
    before = sorted(tmp_path.rglob("*"))
    if job == "embed":
        assert helpers_attacks.embed([catalog], output) == 2
    else:
        assert (
            helpers_attacks.generate([catalog], output, helpers_attacks.small_mapper(tmp_path.parent / "mapper")) == 2
        )
    assert str(output)[:100] in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
    assert all(path.read_text() == "mine" for path in before if path.is_file())


@pytest.mark.parametrize("how", ["ro", "full", "no inodes"])
def test_disk_from_the_start(catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str) -> None:
    """a disk that cannot be written from the start is told in a second, exit 1 or 2; it is"""
    with trouble.small_disk(tmp_path / "disk", "64k", *(["nr_inodes=2"] if how == "no inodes" else [])) as disk:
        if how == "full":
            with pytest.raises(OSError, match="space"):
                (disk / "full").write_bytes(bytes(2**20))
        elif how == "no inodes":
            (disk / "last").touch()
        else:
            trouble.grow(disk, "ro")
        assert helpers_attacks.embed([catalog], disk / "output") in (1, 2)
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert str(tmp_path) in told


def test_no_inodes_in_mid_run(ray_session: None, catalog: Path, made: Path, tmp_path: Path) -> None:
    """The disk runs out of inodes while soundtracks are written: exit 1; with inodes the rest is done"""
    mapper = made / "mapper"
    with trouble.small_disk(tmp_path / "disk", "50m", "nr_inodes=12") as disk:
        assert helpers_attacks.generate([catalog], disk / "output", mapper) == 1
        trouble.grow(disk, "nr_inodes=1000")
        assert helpers_attacks.generate([catalog], disk / "output", mapper) == 0
        assert [row["status"] for row in helpers_attacks.rows(disk / "output", "index")] == ["ok"] * 3


def test_evaluate_on_a_full_disk(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """evaluate on a disk of 96 kB: exit 1 with a sentence; with room the same command ends with 0"""
    with trouble.small_disk(tmp_path / "disk", "96k") as disk:
        command = ["evaluate", str(made / "made"), "--output", str(disk / "metrics"), "--models", "miniature"]
        command += helpers_attacks.arguments(["metrics.resamples=20", "output.interval_s=0"])
        first = main(command)
        told = capsys.readouterr().err
        assert first in (0, 1)
        assert "Traceback" not in told
        trouble.grow(disk, "size=50m")
        assert main(command) == 0


def test_train_on_a_full_disk(ray_session: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """train on a disk of 600 kB: exit 1 with a sentence; with room the same command ends with 0 and a mapper"""
    embeddings = helpers_embeddings.write(tmp_path / "embeddings", helpers_embeddings.table(200))
    with trouble.small_disk(tmp_path / "disk", "600k") as disk:
        command = ["train", embeddings, "--output", str(disk / "mapper"), *TRAIN]
        assert main(command) == 1
        assert "Traceback" not in capsys.readouterr().err
        trouble.grow(disk, "size=100m")
        assert main(command) == 0
        assert (disk / "mapper" / "mapper.safetensors").is_file()


@pytest.mark.parametrize("inside", ["rows", "manifest.json", "unfinished", "summary.json"])
def test_something_in_the_way(
    ray_session: None, catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], inside: str
) -> None:
    """a file where the output has a folder, or a folder where it has a file: a sentence, exit 1 or 2, no row twice"""
    output = tmp_path / "output"
    output.mkdir()
    if "." in inside:
        (output / inside).mkdir()
    else:
        a_file(output / inside)
    code = helpers_attacks.embed([catalog], output)
    told = capsys.readouterr().err
    assert "Traceback" not in told
    if code == 0:
        assert len(helpers_attacks.rows(output)) == 3
    else:
        assert str(output) in told


def test_what_is_not_ours(ray_session: None, catalog: Path, tmp_path: Path) -> None:
    """An output folder with other people's files: they are left alone, and do not count as rows"""
    output = tmp_path / "output"
    for name in ("notes.txt", "rows/notes.txt", "rows/other.parquet", "rows/.part-hidden.parquet", "audio/mine.wav"):
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        a_file(output / name)
    assert helpers_attacks.embed([catalog], output) == 0
    assert len(helpers_attacks.rows(output)) == 3
    assert (output / "rows" / "other.parquet").read_text() == "mine"


def test_links(ray_session: None, catalog: Path, tmp_path: Path) -> None:
    """An output that is a link to a folder on another disk is written there, and the link stays"""
    with trouble.small_disk(tmp_path / "disk", "50m") as disk:
        (disk / "real").mkdir()
        (tmp_path / "output").symlink_to(disk / "real")
        assert helpers_attacks.embed([catalog], tmp_path / "output") == 0
        assert (tmp_path / "output").is_symlink()
        assert len(helpers_attacks.rows(disk / "real")) == 3


def test_an_awkward_output(ray_session: None, catalog: Path, made: Path, tmp_path: Path) -> None:
    """An output whose name has blanks, quotes, %, #, braces, a newline and letters of four bytes"""
    output = tmp_path / "a b'\"%20#{0..9}[x]\n𠀀" / "öut"
    assert helpers_attacks.generate([catalog], output, made / "mapper") == 0
    rows = helpers_attacks.rows(output, "index")
    assert [row["status"] for row in rows] == ["ok"] * 3
    assert all((output / row["audio_path"]).is_file() for row in rows)
    assert os.fspath(output) == str(output)
