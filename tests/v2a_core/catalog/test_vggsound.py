"""VGGSound's own CSV, with the lines on which a naive reader fails."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from v2a_core.catalog import CatalogListing, CatalogSettings, list_sources
from v2a_core.catalog.vggsound import VggSoundSettings
from v2a_core.config import ConfigError, load
from workflows.cli.main import build_parser
from workflows.command.options import load_settings
from workflows.embed.config import EmbedJob

LINES = [
    "---g-f_I2yQ,1,people marching,test",
    '--0PQM4-hqg,30,"waterfall burbling, ""loud""",train',
    "-0jeONf82dE,21,horse clip-clop, on stone,train",
    "gone_gone_1,125,dog barking,train",
    "",
    "../../etc/x,1,climbing,train",
    "---g-f_I2yQ,later,no second,test",
    "too,few",
    'stray__quote,7,say "hi,test',
]
FILES = ["---g-f_I2yQ_000001.mp4", "--0PQM4-hqg_000030.mp4", "-0jeONf82dE_000021.mp4", "stray__quote_000007.mp4"]


def write(table: Path, media: Path) -> None:
    media.mkdir()
    for name in FILES:
        (media / name).write_bytes(b"video bytes")
    table.write_text("\n".join(LINES) + "\n")


def check(found: CatalogListing) -> None:
    assert [source.name for source in found.sources] == FILES
    assert [(source.label, source.split) for source in found.sources] == [
        ("people marching", "test"),
        ('waterfall burbling, "loud"', "train"),
        ("horse clip-clop, on stone", "train"),
        ('say "hi', "test"),
    ]
    # The start second is part of the name; the file holds the clip alone.
    assert all(source.start_s is None for source in found.sources)
    assert [error.error_type for _, error in found.rejects] == ["NotFound", "BadRow", "BadRow", "BadRow"]
    missing, error = found.rejects[0]
    assert (missing.name, missing.label) == ("gone_gone_1_000125.mp4", "dog barking")
    assert "vggsound.csv, line 4, column uri:" in str(error)


def test_labels_and_missing_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "vggsound.csv", tmp_path / "clips")
    monkeypatch.chdir(tmp_path)
    for root in (str(tmp_path / "clips"), "clips", f"file://{tmp_path}/clips/"):
        check(list_sources([str(tmp_path / "vggsound.csv")], CatalogSettings(format=VggSoundSettings(media_root=root))))


def test_a_bucket_is_listed_once(tmp_path: Path) -> None:
    write(tmp_path / "vggsound.csv", tmp_path / "clips")
    fs = fsspec.filesystem("memory")
    fs.put(str(tmp_path / "clips"), f"/{tmp_path.name}/clips", recursive=True)
    root = f"memory://{tmp_path.name}/clips"
    check(list_sources([str(tmp_path / "vggsound.csv")], CatalogSettings(format=VggSoundSettings(media_root=root))))


def test_a_wrong_root_is_an_error_at_once(tmp_path: Path) -> None:
    write(tmp_path / "vggsound.csv", tmp_path / "clips")
    with pytest.raises(ValueError, match=r"--media-root .*nothing does not exist"):
        list_sources([str(tmp_path / "vggsound.csv")], CatalogSettings(format=VggSoundSettings(media_root="nothing")))
    for override in ("catalog.format=vggsound", "catalog.format.kind=vggsound"):
        with pytest.raises(ConfigError, match="--catalog-format vggsound needs --media-root"):
            load(EmbedJob, job="embed", overrides=[override])
    with pytest.raises(ConfigError, match=r"'catalog.format.media_root' .*; it is a setting of .*kind = vggsound"):
        load(EmbedJob, job="embed", overrides=["catalog.format.media_root=clips"])
    with pytest.raises(ConfigError, match=r"kind = 'csv': no such catalog format; allowed: auto \| vggsound"):
        load(EmbedJob, job="embed", overrides=["catalog.format.kind=csv"])


def test_the_short_options_choose_it(tmp_path: Path) -> None:
    arguments = build_parser().parse_args(
        ["embed", "x", "--output", "y", "--catalog-format", "vggsound", "--media-root", "1984"]
    )
    assert load_settings(arguments, "embed", EmbedJob).catalog.format == VggSoundSettings(media_root="1984")
