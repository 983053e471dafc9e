"""Sounds of references are read: their videos by one decoder that goes from one to the next."""

from __future__ import annotations

from pathlib import Path

import helpers_catalog
import pytest

from v2a_core.catalog.source import Source
from v2a_core.media.config import GuardSettings
from v2a_core.media.guard import shared_decoder
from v2a_core.media.types import MediaError
from v2a_core.metrics.systems.sets import sound_set, video_entry
from v2a_core.stages.sounds import load_sound


def _item(path: Path) -> dict[str, object]:
    source = Source(uri=str(path), name=path.name, kind="video")
    entry = video_entry(path.stem, path.stem, source, path.stem, (0.0, 0.0))
    found: dict[str, object] = sound_set([entry]).table.to_pylist()[0]
    return found


def test_one_decoder_reads_all_videos(tmp_path: Path) -> None:
    guard = GuardSettings()
    first, silent, second = (tmp_path / f"{name}.mp4" for name in ("one", "silent", "two"))
    for path in (first, second):
        helpers_catalog.video(path, 2.0)
    helpers_catalog.video(silent, 1.0, tone_hz=None)
    assert load_sound(_item(first), guard).length_s == pytest.approx(2.0, abs=0.05)
    decoder = shared_decoder(guard).pid
    assert decoder is not None
    with pytest.raises(MediaError, match=r"silent\.mp4 has no sound"):
        load_sound(_item(silent), guard)
    assert load_sound(_item(second), guard).length_s == pytest.approx(2.0, abs=0.05)
    assert shared_decoder(guard).pid == decoder
