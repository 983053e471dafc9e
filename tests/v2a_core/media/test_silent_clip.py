"""Films of spans: the right frames at the right times, no sound, nothing that tells where they came from."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from helpers_media import render, tone
from PIL import Image

from v2a_core.media.config import GuardSettings
from v2a_core.media.guard import GuardedDecoder
from v2a_core.media.mux import MuxRequest, mux_soundtrack, stream_lengths
from v2a_core.media.silent_clip import ClipRequest, make_clip
from v2a_core.media.types import MediaError


@pytest.fixture(scope="module")
def guarded():
    with GuardedDecoder(GuardSettings()) as decoder:
        yield decoder


# Far enough apart for two lossy codecs.
PICTURES = [np.full((48, 64, 3), 8 * index, np.uint8) for index in range(30)]


def shown(path: Path) -> list[tuple[float, int]]:
    """When frames of `PICTURES` are shown, and which."""
    with av.open(str(path)) as container:
        frames = [(frame.time, frame.to_ndarray(format="rgb24").mean()) for frame in container.decode(video=0)]
    return [(time, round(float(level) / 8)) for time, level in frames]


def test_a_span_has_its_frames_at_their_times(guarded, tmp_path):
    video = render(
        tmp_path / "a.mkv",
        pts=range(30),
        pictures=PICTURES,
        codec="mpeg2video",
        sound=tone(1.2),
        tags={"title": "made by somebody"},
    )
    out = tmp_path / "out.mp4"
    assert make_clip(guarded, ClipRequest(video, "video", out, 0.4, 0.6, 640)) == pytest.approx(0.6)
    found = shown(out)
    assert [index for _, index in found] == list(range(10, 25))
    np.testing.assert_allclose([time for time, _ in found], np.arange(15) / 25, atol=0.002)
    with av.open(str(out)) as container:
        assert not container.streams.audio
        assert container.streams.video[0].codec_context.name == "h264"
        assert "somebody" not in str(container.metadata)
    assert stream_lengths(out)[0] == pytest.approx(0.6, abs=0.002)


def test_a_video_that_ends_early_gives_a_shorter_film_and_one_that_has_ended_none(guarded, tmp_path):
    video = render(tmp_path / "a.mp4")
    out = tmp_path / "out.mp4"
    assert make_clip(guarded, ClipRequest(video, "video", out, 1.5, 5.0, 640)) == pytest.approx(0.5)
    with pytest.raises(MediaError, match=r"2\.00 s long: nothing of it is left at 2\.50 s"):
        make_clip(guarded, ClipRequest(video, "video", out, 2.5, 5.0, 640))


@pytest.mark.parametrize(("size", "wanted"), [((131, 65), (66, 32)), ((50, 33), (50, 32)), ((400, 2), (66, 2))])
def test_a_still_is_shown_as_long_as_asked_and_fits(guarded, tmp_path, size, wanted):
    Image.new("RGB", size, (250, 10, 10)).save(tmp_path / "still.png")
    out = tmp_path / "out.mp4"
    longest = 66 if max(size) > 66 else 640
    request = ClipRequest(tmp_path / "still.png", "image", out, 0.0, 1.3, longest)
    assert make_clip(guarded, request) == pytest.approx(1.3)
    with av.open(str(out)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert {frame.shape[:2] for frame in frames} == {wanted[::-1]}
    assert frames[-1][..., 0].mean() > 200
    sound = tmp_path / "heard.mp4"
    mux_soundtrack(MuxRequest(out, tone(1.3), 48_000, sound))
    assert stream_lengths(sound) == pytest.approx((1.3, 1.3), abs=0.03)


def test_what_is_no_video_costs_itself(guarded, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(4000))
    with pytest.raises(MediaError):
        make_clip(guarded, ClipRequest(tmp_path / "broken.mp4", "video", tmp_path / "out.mp4", 0.0, 1.0, 640))
