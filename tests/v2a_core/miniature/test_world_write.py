"""The small world as a catalog: files that the project's own catalog and decoder read."""

import pyarrow.parquet as pq
import pytest

from v2a_core.catalog import CatalogSettings, list_sources
from v2a_core.media.image import load_image
from v2a_core.media.probe import read_timeline
from v2a_core.media.types import MediaError
from v2a_core.miniature.world import KINDS, WorldSettings, WriteSettings
from v2a_core.miniature.world.write import split_counts, write_demo_catalog, write_world

TINY = WorldSettings(length_s=1.0, size=32, frames_per_second=5, sample_rate=8_000)


def test_the_demo_catalog_has_all_kinds_a_still_silent_videos_and_one_broken_file(tmp_path):
    written = write_demo_catalog(tmp_path, size=32, clips=12, lessons={"train": 3, "validation": 1})
    lessons = list_sources(written.lessons, CatalogSettings()).sources
    assert [source.split for source in lessons].count("train") == 3
    assert [source.split for source in lessons].count("validation") == 1
    listing = list_sources(written.shown, CatalogSettings())
    assert {source.split for source in listing.sources} == {"test"}
    assert listing.rejects == []
    assert len(listing.sources) == 12 + 1 + 1
    infos, broken = [], []
    for source in listing.sources:
        with source.fetch() as path:
            try:
                infos.append((source, read_timeline(path) if source.kind == "video" else load_image(path, 32)))
            except MediaError:
                broken.append(source.name)
    assert broken == ["videos/broken-download.mp4"]
    videos = [(source, info) for source, info in infos if source.kind == "video"]
    assert {source.label for source, _ in videos} == set(KINDS)
    assert all(abs(info.duration_s - 5.0) < 0.11 for _, info in videos)
    assert 1 <= sum(not info.has_audio for _, info in videos) <= 6
    assert sum(source.member is not None for source, _ in videos) == 6
    assert all(source.caption for source, _ in infos)


def test_writing_twice_gives_the_same_bytes(tmp_path):
    layout = WriteSettings(shards=1, loose_share=0.5, stills=1)
    for name in ("a", "b"):
        write_world(str(tmp_path / name), {"train": 3, "test": 1}, TINY, layout)
    first = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(first) == 2 + 1 + 1 + 1  # loose videos, shard, still, table
    for path in first:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes(), path


def test_a_world_on_an_object_store_with_a_parquet_table(tmp_path):
    layout = WriteSettings(stills=2, table="parquet")
    written = write_world("memory://world", {"train": 2, "validation": 1}, TINY, layout)
    assert written.inputs == ["memory://world/catalog.parquet"]
    listing = list_sources(written.inputs, CatalogSettings())
    assert [source.split for source in listing.sources] == ["train", "train", "validation", "test", "test"]
    assert [source.kind for source in listing.sources] == ["video"] * 3 + ["image"] * 2
    with listing.sources[0].fetch() as path:
        assert read_timeline(path).has_audio
    local = write_world(str(tmp_path / "local"), {"train": 1}, TINY, layout)
    assert pq.read_table(local.inputs[0]).column_names == ["uri", "label", "split", "caption"]


@pytest.mark.parametrize("count", [3, 10, 1234])
def test_split_counts_add_up(count):
    assert sum(split_counts(count).values()) == count


def test_shards_hold_everything_when_nothing_stays_loose(tmp_path):
    written = write_world(str(tmp_path), {"train": 5}, TINY, WriteSettings(shards=2, table="none"))
    assert written.inputs == [f"{tmp_path}/shards"]
    sources = list_sources(written.inputs, CatalogSettings()).sources
    assert len(sources) == 5
    assert {source.label for source in sources} == set(KINDS[:5])
