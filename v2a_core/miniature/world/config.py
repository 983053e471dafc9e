"""Typed configuration of the small world."""

from __future__ import annotations

from typing import Literal

from v2a_core.config import Settings, setting


class WorldSettings(Settings):
    """What is drawn from the world, and how it is rendered."""

    seed: int = setting(0, "the world is a function of this seed, the split and the index", ge=0)
    length_s: float = setting(5.0, "length of a scene", unit="s", gt=0, le=600)
    size: int = setting(128, "height and width of the pictures", unit="px", ge=16, le=2048, multiple_of=2)
    frames_per_second: int = setting(10, "frame rate of the videos", unit="1/s", ge=1, le=60)
    sample_rate: int = setting(16_000, "sample rate of the sounds", unit="Hz", ge=8_000, le=48_000)
    noise_share: float = setting(0.05, "share of training scenes with a wrong or an unrelated sound", ge=0, le=1)
    silent_share: float = setting(0.0, "share of videos written without an audio track", ge=0, le=1)


class WriteSettings(Settings):
    """How a world is laid out in files."""

    shards: int = setting(0, "tar shards to spread the videos over (WebDataset layout); 0: loose files", ge=0)
    loose_share: float = setting(0.0, "with shards: share of the videos that stay loose", ge=0, le=1)
    stills: int = setting(0, "still images, in the other drawing style", ge=0)
    table: Literal["csv", "parquet", "none"] = setting("csv", "table of uri, label, split and caption")
