"""How much of a catalog a stage takes at once."""

from __future__ import annotations

import pytest

from v2a_core.media.config import FrameSettings, GuardSettings, SegmentSettings
from v2a_core.media.types import MediaSpec
from v2a_core.stages.decode import DecodeSettings
from workflows.streaming.chain import segments_at_once


@pytest.mark.parametrize(
    ("frames", "whole", "expected"),
    [({}, False, 64), ({"frames_per_second": "all"}, False, 2), ({"frames_per_second": 30.0}, False, 5), ({}, True, 2)],
)
def test_batches_are_smaller_where_segments_have_many_frames(
    frames: dict[str, object], whole: bool, expected: int
) -> None:
    settings = DecodeSettings(
        SegmentSettings(whole=whole), FrameSettings.model_validate(frames), GuardSettings(), MediaSpec(), True
    )
    assert segments_at_once(settings, 64) == expected
