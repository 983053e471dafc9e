"""Odd media with soundtracks: a copy of the picture that was there, with one sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import helpers_attacks
import pytest
from helpers_odd_catalog import FILES, OK

from v2a_core.catalog.files import media_kind

# The last cannot be copied into a container with sound: Matroska does not take Microsoft Video 1.
UNCOPIED = ("8k.mp4", "palette.avi")
VIDEOS = [
    name for name, (_, fate) in FILES.items() if fate == OK and media_kind(name) == "video" and name not in UNCOPIED
]


@pytest.fixture(scope="module")
def made(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[dict[str, Any]]]]:
    """The folder, and the index of one run over all odd videos that can be read."""
    folder = tmp_path_factory.mktemp("odd")
    for name in VIDEOS:
        (folder / "catalog").mkdir(exist_ok=True)
        FILES[name][0](folder / "catalog" / name)
    mapper = helpers_attacks.small_mapper(folder / "mapper")
    assert helpers_attacks.generate([folder / "catalog"], folder / "output", mapper) == 0
    return folder, helpers_attacks.by_name(helpers_attacks.rows(folder / "output", "index"))


def frame_count(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(packet.size > 0 for packet in container.demux(container.streams.video[0]))


@pytest.mark.parametrize("name", VIDEOS)
def test_muxed(made: tuple[Path, dict[str, list[dict[str, Any]]]], name: str) -> None:
    """an odd video gets its soundtrack, and keeps every frame"""
    folder, index = made
    (row,) = index[name]
    assert row["status"] == "ok", row["reject_message"]
    assert (folder / "output" / row["audio_path" if "audio_path" in row else "audio_uri"]).is_file()
    video = folder / "output" / row["video_path" if "video_path" in row else "video_uri"]
    with av.open(str(video)) as container:
        assert len(container.streams.audio) == 1
        assert next(container.decode(container.streams.audio[0])).samples > 0
    assert frame_count(video) == frame_count(folder / "catalog" / name)
