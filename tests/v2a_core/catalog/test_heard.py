"""Catalogs of sounds: what is heard is listed, what is only seen is passed over."""

from __future__ import annotations

from pathlib import Path

import helpers_catalog
import helpers_sounds
import pytest
import soundfile

from v2a_core.catalog import CatalogSettings, list_sources


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound and a picture in a folder, in a shard and in a table, and a video."""
    loose = tmp_path / "loose"
    loose.mkdir()
    soundfile.write(loose / "a ü%.wav", helpers_sounds.struck(0.5, 300), 16_000)
    helpers_catalog.still(loose / "b.png")
    members = {"one": loose / "a ü%.wav", "two": loose / "b.png"}
    helpers_catalog.shard(tmp_path / "shard.tar", members, {"one": "drum"})
    (tmp_path / "table.csv").write_text("uri,split\nloose/a ü%.wav,train\nloose/b.png,train\n")
    (tmp_path / "clip.MP4").write_bytes(b"")
    return tmp_path


def kinds(listed) -> list[tuple[str, str]]:
    return [(source.name, source.kind) for source in listed.sources]


def test_sounds_and_videos_are_listed_wherever_they_lie(folder: Path) -> None:
    listed = list_sources([str(folder)], CatalogSettings(), heard=True)
    assert kinds(listed) == [("clip.MP4", "video"), ("loose/a ü%.wav", "audio"), ("shard/one.wav", "audio")]
    assert listed.sources[2].label == "drum"
    assert listed.sources[1].version
    assert listed.skipped == 3  # two pictures, and a table that nobody named
    rows = list_sources([str(folder / "table.csv")], CatalogSettings(), heard=True)
    assert [(source.kind, source.split) for source in rows.sources] == [("audio", "train")]
    assert [error.error_type for _, error in rows.rejects] == ["NotMedia"]
    assert "no video or sound by its name" in str(rows.rejects[0][1])


def test_what_is_seen_is_listed_as_ever(folder: Path) -> None:
    listed = list_sources([str(folder / "loose"), str(folder / "shard.tar")], CatalogSettings())
    assert kinds(listed) == [("b.png", "image"), ("shard/two.png", "image")]


def test_a_picture_that_is_named_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="neither a sound nor a video, a tar shard or a table"):
        list_sources([str(folder / "loose" / "b.png")], CatalogSettings(), heard=True)
