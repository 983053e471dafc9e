"""Denser frames: read in one pass with the others, which stay what they are, and the motion in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers_decode import decode, request, timed_frames
from helpers_media import index_of, picture, render
from pydantic import ValidationError

from v2a_core.catalog import Source, source_id
from v2a_core.media.config import FrameSettings, SegmentSettings
from v2a_core.media.decode import decode_source
from v2a_core.media.motion_energy import motion_energy, small_grey
from v2a_core.media.types import DecodedSegment

SPARSE = FrameSettings(frames_per_second=4.0)
DENSE = FrameSettings(frames_per_second=4.0, timing_fps=10.0)


@pytest.fixture(scope="module", params=["decord", "pyav"])
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 s, 25 frames a second: still until 1.3 s, then every picture is other than the one before."""
    pictures = [picture(max(0, index - 32)) for index in range(50)]
    path = tmp_path_factory.mktemp("media") / f"{request.param}.mp4"
    return render(path, pictures=pictures, codec="libx264" if request.param == "decord" else "mpeg2video")


def test_they_are_those_shown_at_even_times_and_the_others_stay(clip: Path) -> None:
    plain, dense = decode(clip, frames=SPARSE), decode(clip, frames=DENSE)
    for one, other in zip(plain, dense, strict=True):
        assert isinstance(other, DecodedSegment)
        assert all(
            time == same and np.array_equal(pixels, also)
            for (time, pixels), (same, also) in zip(timed_frames(one), timed_frames(other), strict=True)
        )
        assert (one.decoder, one.damaged, one.decoded_share) == (other.decoder, other.damaged, other.decoded_share)
        assert one.timed is None
    first, second = (item.timed for item in dense)
    np.testing.assert_allclose(first.times_s_N, [0, 0.08, 0.2, 0.28, 0.4, 0.48, 0.6, 0.68, 0.8, 0.88], atol=1e-6)
    np.testing.assert_allclose(second.times_s_N - 1, first.times_s_N, atol=1e-6)
    assert first.frames_NHWC.shape == (10, 32, 32, 3)
    assert [index_of(frame) for frame in second.frames_NHWC[:4]] == [0, 0, 0, 0]
    assert first.motion_N.max() < 0.004
    assert second.motion_N[:4].max() < 0.004
    np.testing.assert_allclose(second.motion_N[5:], np.tile([8, 12], 3)[:5] / 255, atol=0.006)


def test_a_segment_is_the_same_when_those_before_it_are_done(clip: Path) -> None:
    whole = render_jump(clip.parent / "jump.mp4")
    first, second = decode(whole, frames=DENSE)
    planned, only = decode_source(request(whole, frames=DENSE, skip=frozenset([first.segment.segment_id])))
    assert isinstance(planned, list)
    np.testing.assert_array_equal(only.timed.motion_N, second.timed.motion_N)
    np.testing.assert_array_equal(only.timed.times_s_N, second.timed.times_s_N)
    assert second.timed.motion_N[0] > 0.1  # from the last frame of the segment before


def test_what_lies_before_the_span_that_is_asked_for_does_not_count(clip: Path) -> None:
    whole = render_jump(clip.parent / "jump.mp4")
    (only,) = decode(whole, frames=DENSE, start_s=1.0, span_s=1.0)
    assert only.timed.motion_N[0] == 0


def render_jump(path: Path) -> Path:
    """Another picture from 1 s on."""
    return path if path.exists() else render(path, pictures=[picture(0 if index < 25 else 40) for index in range(50)])


def test_only_how_much_moves_is_given_on_where_that_is_enough(clip: Path) -> None:
    seen, moved = decode(clip, frames=DENSE), decode(clip, frames=DENSE, timed_pixels=False)
    for one, other in zip(seen, moved, strict=True):
        np.testing.assert_array_equal(one.timed.motion_N, other.timed.motion_N)
        assert other.timed.frames_NHWC is None


def test_motion_does_not_depend_on_the_size_of_the_frames() -> None:
    fields = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 1), np.uint8).repeat(3, axis=3)
    large = fields.repeat(7, axis=1).repeat(7, axis=2)
    small = motion_energy(small_grey(fields))
    np.testing.assert_allclose(motion_energy(small_grey(large)), small, atol=1e-5)
    assert small[0] == 0
    assert small[1:].min() > 0.2
    np.testing.assert_allclose(motion_energy(small_grey(fields[2:]), small_grey(fields)[1]), small[2:], atol=1e-6)


def test_settings_and_ids_without_them_are_as_they_were() -> None:
    assert "timing_fps" not in FrameSettings().model_dump()
    assert "timing_fps" not in FrameSettings().model_dump_json()
    assert FrameSettings.model_validate(DENSE.model_dump()) == DENSE
    source, segments = Source("/a.mp4", "a.mp4", "video"), SegmentSettings()
    assert source_id(source, segments, SPARSE) == source_id(source, segments, DENSE)
    with pytest.raises(ValidationError, match=r"frames\.sampling = fast skips frames"):
        FrameSettings(timing_fps=10.0, sampling="fast")
