from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from helpers_decode import decode
from helpers_media import picture, playlist_in_mp4, render, tone

from v2a_core.media import confine, guarded_mux
from v2a_core.media.config import FrameSettings, GuardSettings, SegmentSettings
from v2a_core.media.decode import DecodeRequest, SegmentReject
from v2a_core.media.guard import GuardedDecoder
from v2a_core.media.mux import MuxRequest
from v2a_core.media.types import MediaError, MediaSpec
from v2a_core.media.worker import Call

OPTIONS: dict[str, Any] = {
    "kind": "video",
    "source_id": "source",
    "spec": MediaSpec(image_size=32, audio_samples=96_000),
    "segments": SegmentSettings(length_s=1.0),
    "frames": FrameSettings(frames_per_second=4.0),
}
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Landlock and seccomp are Linux's")


def test_a_playlist_inside_an_mp4(tmp_path: Path) -> None:
    """An MP4 whose first box is an HLS playlist: the decoder would show the frames of the file that it names"""
    render(tmp_path / "secret.ts", pictures=[picture(20 + index) for index in range(30)], pts=range(30), options={})
    path = playlist_in_mp4(tmp_path / "clip.mp4", "secret.ts", pts=range(30))
    with pytest.raises(MediaError) as caught:
        decode(path)
    assert (caught.value.stage, caught.value.error_type) == ("probe", "UnknownFormat")


@pytest.mark.parametrize(
    "head",
    [b"ffconcat version 1.0\nfile '/etc/passwd'\n", b"v=0\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n", b"<MPD></MPD>"],
    ids=["ffconcat", "sdp", "dash"],
)
def test_lists_of_other_files(tmp_path: Path, head: bytes) -> None:
    """A list of other files, or of addresses, under the name of a video"""
    path = tmp_path / "clip.mp4"
    path.write_bytes(head + render(tmp_path / "film.mp4").read_bytes())
    with pytest.raises(MediaError, match="not a readable video"):
        decode(path)


@LINUX
def test_what_a_decoder_that_was_taken_over_can_reach(tmp_path: Path) -> None:
    """A decoder that was taken over opens other files, writes into its input, calls out"""
    if confine._landlock_version() < 1:
        pytest.skip("this kernel has no Landlock")
    other, path = tmp_path / "other", tmp_path / "clip.mp4"
    other.write_text("a secret")
    path.write_text(f"{path}\n{other}\n/etc/passwd\n{path}+\nsocket\n/proc/1/environ\n")
    with GuardedDecoder(GuardSettings(), "planted_decoders:reach") as decoder:
        (told,) = decoder.decode(DecodeRequest(path, **OPTIONS))
    assert isinstance(told, SegmentReject)
    assert str(told.error).split() == ["open", *["PermissionError"] * 5]


def test_a_short_file_that_stands_for_weeks(tmp_path: Path) -> None:
    """A gap bomb: a few kB whose frames are ten minutes apart declare days of segments, and of silence to mux"""
    path = render(tmp_path / "bomb.mkv", pts=range(0, 599 * 400, 599), fps=1, options={})
    assert path.stat().st_size < 100_000
    with GuardedDecoder(GuardSettings()) as decoder:
        with pytest.raises(MediaError, match=r"239,002 s long, and decoder.max_duration_s is 21,600 s") as caught:
            list(decoder.decode(DecodeRequest(path, **OPTIONS)))
        assert (caught.value.stage, caught.value.error_type) == ("decode", "TooLong")
        request = MuxRequest(path, tone(1.0, rate=16_000), 16_000, tmp_path / "out.mp4", {})
        with pytest.raises(MediaError) as caught:
            guarded_mux.mux(decoder, request)
        assert (caught.value.stage, caught.value.error_type) == ("mux", "TooLong")


def test_a_video_of_too_many_segments(tmp_path: Path) -> None:
    """A source of more segments than a run should make"""
    path = render(tmp_path / "long.mkv", pts=range(0, 300, 10), fps=1, options={})
    with (
        GuardedDecoder(GuardSettings(max_segments=100)) as decoder,
        pytest.raises(MediaError, match=r"291 segments, and decoder.max_segments is 100") as caught,
    ):
        list(decoder.decode(DecodeRequest(path, **OPTIONS)))
    assert (caught.value.error_type, caught.value.transient) == ("TooLong", False)


@pytest.mark.parametrize(("fault", "error_type"), [("abort", "DecoderCrashed"), ("hang", "TimeLimit")])
def test_a_video_that_kills_the_muxer(fault: str, error_type: str) -> None:
    """A video at which the muxer crashes or hangs"""
    with GuardedDecoder(GuardSettings(time_limit_s=1.0, attempts=2)) as decoder:
        with pytest.raises(MediaError) as caught:
            decoder.run(Call("planted_decoders:obey", fault, stage="mux"))
        assert (caught.value.stage, caught.value.error_type) == ("mux", error_type)
