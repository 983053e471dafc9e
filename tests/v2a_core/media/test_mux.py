from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from helpers_media import RATE, index_of, picture, render, tone

from v2a_core.media import guarded_mux
from v2a_core.media.config import GuardSettings
from v2a_core.media.encode import write_video
from v2a_core.media.guard import GuardedDecoder
from v2a_core.media.mux import MAX_DIFFERENCE_S, MixUnder, MuxRequest, mux_soundtrack, muxed_suffix, stream_lengths
from v2a_core.media.probe import read_timeline
from v2a_core.media.types import MediaError
from v2a_core.miniature.world import WorldSettings
from v2a_core.miniature.world.render import iterate_frames
from v2a_core.miniature.world.scenes import sample


def picture_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def frames(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def sound(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def mux(video: Path, waveform: np.ndarray, rate: int = 16_000, **tags: str) -> Path:
    out = video.with_name(f"out{muxed_suffix(video)}")
    mux_soundtrack(MuxRequest(video, waveform, rate, out, tags))
    return out


@pytest.mark.parametrize(
    ("name", "suffix", "options"),
    [
        ("a.mp4", ".mp4", {}),
        ("a.mp4", ".mp4", {"codec": "libx265", "options": {"x265-params": "log-level=none"}}),
        ("a.mp4", ".mp4", {"codec": "libsvtav1"}),
        ("a.mov", ".mov", {}),
        ("a.mkv", ".mkv", {}),
        ("a.webm", ".mp4", {"codec": "libvpx-vp9", "options": {}}),
        ("a.webm", ".mkv", {"codec": "libvpx", "options": {}}),
        ("a.avi", ".mp4", {"codec": "mpeg4"}),
        ("a.mpg", ".mkv", {"codec": "mpeg2video"}),
        ("a.mp4", ".mp4", {"offset_s": 1.0}),
        ("a.mkv", ".mkv", {"offset_s": 3.0, "sound": tone(2.0)}),
        ("a.mp4", ".mp4", {"pts": [0, 1, 2, 10, 11, 30, 31, 49], "sound": tone(2.0)}),
        ("one.mp4", ".mp4", {"pts": [0]}),
    ],
)
def test_the_picture_is_copied_and_the_sound_is_as_long(
    tmp_path: Path, name: str, suffix: str, options: dict[str, object]
) -> None:
    video = render(tmp_path / name, size=(96, 64), **options)  # type: ignore[arg-type]
    out = mux(video, 0.5 * tone(2.0, 500.0, 16_000))
    assert out.suffix == suffix
    assert picture_packets(out) == picture_packets(video)
    picture_s, sound_s = stream_lengths(out)
    assert picture_s == pytest.approx(read_timeline(video).duration_s, abs=0.03)
    assert abs(picture_s - sound_s) <= MAX_DIFFERENCE_S
    timeline = read_timeline(out)
    assert timeline.origin_s == pytest.approx(0.0, abs=0.003)
    np.testing.assert_allclose(timeline.frame_times_s, read_timeline(video).frame_times_s, atol=0.002)
    assert [index_of(f.to_ndarray(format="rgb24")) for f in frames(out)] == [
        index_of(f.to_ndarray(format="rgb24")) for f in frames(video)
    ]


def test_a_transport_stream_becomes_an_mp4(tmp_path: Path) -> None:
    video = render(tmp_path / "a.ts", sound=tone(2.0))
    out = mux(video, tone(2.0, rate=16_000))
    assert out.suffix == ".mp4"
    assert len(frames(out)) == 50
    assert abs(np.subtract(*stream_lengths(out))) <= MAX_DIFFERENCE_S


def test_h264_in_avi_keeps_the_order_of_its_frames(tmp_path: Path) -> None:
    video = render(tmp_path / "a.avi")
    out = mux(video, tone(2.0, rate=16_000))
    shown = frames(out)
    assert [index_of(f.to_ndarray(format="rgb24")) for f in shown] == list(range(50))
    np.testing.assert_allclose([f.time for f in shown], np.arange(50) / 25, atol=0.002)
    assert abs(np.subtract(*stream_lengths(out))) <= MAX_DIFFERENCE_S


def test_sound_begins_with_the_first_frame(tmp_path: Path) -> None:
    waveform = np.zeros(32_000, np.float32)
    waveform[16_000:] = 0.5 * tone(1.0, 1000.0, 16_000)
    for options in ({}, {"offset_s": 2.0}):
        heard = sound(mux(render(tmp_path / "a.mp4", **options), waveform))
        begins = int(np.argmax(np.abs(heard) > 0.1))
        assert begins == pytest.approx(RATE, abs=0.01 * RATE)


@pytest.mark.parametrize("seconds", [0.5, 1.99, 3.7])
def test_sound_of_another_length_is_fitted(tmp_path: Path, seconds: float) -> None:
    picture_s, sound_s = stream_lengths(mux(render(tmp_path / "a.mp4"), tone(seconds, rate=16_000)))
    assert picture_s == pytest.approx(2.0)
    assert sound_s == pytest.approx(2.0, abs=0.03)


def test_the_original_sound_is_gone(tmp_path: Path) -> None:
    out = mux(render(tmp_path / "a.mp4", sound=tone(2.0, 3000.0)), 0.5 * tone(2.0, 500.0, 16_000))
    spectrum = np.abs(np.fft.rfft(sound(out)[:RATE]))
    assert int(spectrum.argmax()) == pytest.approx(500, abs=1)
    assert spectrum[2990:3010].max() < 0.01 * spectrum.max()
    with av.open(str(out)) as container:
        assert [stream.codec_context.name for stream in container.streams.audio] == ["aac"]


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_rotation_is_kept(tmp_path: Path, degrees: int) -> None:
    out = mux(render(tmp_path / "a.mp4", rotation=degrees), tone(2.0, rate=16_000))
    assert round(frames(out)[0].rotation) % 360 == degrees % 360


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_tags_are_kept_and_added(tmp_path: Path, suffix: str) -> None:
    video = render(tmp_path / f"plain{suffix}", tags={"title": "A title"})
    out = mux(video, tone(2.0, rate=16_000), comment="AI-generated", v2a_seed="7")
    with av.open(str(out)) as container:
        tags = {key.lower(): value for key, value in container.metadata.items()}
    assert (tags["title"], tags["comment"], tags["v2a_seed"]) == ("A title", "AI-generated", "7")


def test_subtitles_are_kept(tmp_path: Path) -> None:
    video, subtitled, text = render(tmp_path / "a.mkv"), tmp_path / "subtitled.mkv", tmp_path / "a.srt"
    text.write_text("1\n00:00:00,500 --> 00:00:01,500\nHello\n")
    with av.open(str(video)) as source, av.open(str(text)) as lines, av.open(str(subtitled), "w") as target:
        streams = [source.streams.video[0], lines.streams.subtitles[0]]
        copies = [target.add_stream_from_template(stream, opaque=True) for stream in streams]
        for stream, copy in zip(streams, copies, strict=True):
            for packet in stream.container.demux(stream):
                if packet.size and packet.dts is not None:
                    packet.stream = copy
                    target.mux(packet)
    with av.open(str(mux(subtitled, tone(2.0, rate=16_000)))) as container:
        (line,) = [packet for packet in container.demux(subtitles=0) if packet.size]
        assert bytes(line) == b"Hello"
        assert float(line.pts * line.time_base) == pytest.approx(0.5 - read_timeline(subtitled).origin_s, abs=0.01)


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"nothing")
    with pytest.raises(MediaError):
        muxed_suffix(bad)
    with pytest.raises(MediaError):
        mux_soundtrack(MuxRequest(bad, tone(1.0), RATE, tmp_path / "out.mp4"))


def test_a_truncated_video_gets_sound_for_what_is_there(tmp_path: Path) -> None:
    video = render(tmp_path / "a.mkv", pts=range(200), options={"g": "10", "crf": "4"}, size=(320, 240))
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    picture_s, sound_s = stream_lengths(mux(video, tone(8.0, rate=16_000)))
    assert 1 < picture_s < 7
    assert abs(picture_s - sound_s) <= MAX_DIFFERENCE_S


@pytest.mark.parametrize(("fps", "count"), [(25, 50), (29.97, 50), (12.5, 25)])
def test_encoded_video(tmp_path: Path, fps: float, count: int) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, (picture(index) for index in range(count)), fps, tone(count / fps, rate=16_000), 16_000)
    info = read_timeline(path)
    assert (info.width, info.height, info.has_audio) == (64, 48, True)
    assert info.duration_s == pytest.approx(count / fps, rel=1e-3)
    assert [index_of(f.to_ndarray(format="rgb24")) for f in frames(path)] == list(range(count))
    assert abs(np.subtract(*stream_lengths(path))) <= MAX_DIFFERENCE_S
    assert np.sqrt(np.mean(sound(path) ** 2)) == pytest.approx(0.4 / np.sqrt(2), rel=0.05)


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    rain = list(iterate_frames(sample(WorldSettings(), "train", 0), length_s=1.0, size=160, frames_per_second=5))
    made = set()
    for _ in range(20):
        write_video(tmp_path / "a.mp4", rain, 5)
        made.add((tmp_path / "a.mp4").read_bytes())
    assert len(made) == 1


def test_encoding_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="at least one frame"):
        write_video(tmp_path / "a.mp4", [], 25)
    with pytest.raises(MediaError, match="even sides"):
        write_video(tmp_path / "a.mp4", [picture(0, 63, 48)], 25)


@pytest.mark.parametrize("size", [(64, 48), (63, 47)])
def test_an_animated_gif_becomes_an_mp4(tmp_path: Path, size: tuple[int, int]) -> None:
    stamps = [0, 1, 2, 10, 11, 20, 24]
    video = render(
        tmp_path / "a.gif", codec="gif", pix_fmt="rgb8", options={}, pts=stamps, fps=25, size=size,
        pictures=[picture(7 * index, *size) for index in range(len(stamps))],
    )  # fmt: skip
    out = mux(video, 0.5 * tone(2.0, 500.0, 16_000))
    assert out.suffix == ".mp4"
    before, after = read_timeline(video), read_timeline(out)
    assert (after.codec, after.width, after.height) == ("h264", 64, 48)
    np.testing.assert_allclose(after.frame_times_s, before.frame_times_s, atol=0.011)
    assert after.duration_s == pytest.approx(before.duration_s, abs=0.011)
    assert abs(np.subtract(*stream_lengths(out))) <= MAX_DIFFERENCE_S
    shown = [f.to_ndarray(format="rgb24").astype(int) for f in frames(out)]
    wanted = [f.to_ndarray(format="rgb24").astype(int) for f in frames(video)]
    for one, other in zip(shown, wanted, strict=True):
        assert one.mean() == pytest.approx(other.mean(), abs=3)  # of a dithered picture


def test_muxing_in_the_guarded_process_is_the_same(tmp_path: Path) -> None:
    video = render(tmp_path / "a.mov", sound=tone(2.0))
    waveform = 0.5 * tone(1.0, 500.0, 16_000)
    out, guarded_out = tmp_path / "out.mov", tmp_path / "guarded.mov"
    mix = MixUnder(12.0, -1.0)
    mux_soundtrack(MuxRequest(video, waveform, 16_000, out, {"comment": "x"}, mix, start_s=0.5))
    with GuardedDecoder(GuardSettings()) as guarded:
        assert guarded_mux.suffix(guarded, video) == ".mov"
        guarded_mux.mux(guarded, MuxRequest(video, waveform, 16_000, guarded_out, {"comment": "x"}, mix, 0.5))
    np.testing.assert_array_equal(sound(guarded_out), sound(out))
    assert picture_packets(guarded_out) == picture_packets(video)
