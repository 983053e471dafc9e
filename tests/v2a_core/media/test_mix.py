"""The soundtrack under the sound that a video has, and what else of a video stays."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyloudnorm
import pytest
from helpers_media import RATE, render, tone
from PIL import Image

from v2a_core.media.audio_formats import as_it_comes
from v2a_core.media.mix import plan_mix, read_sound
from v2a_core.media.mux import MAX_DIFFERENCE_S, MixUnder, MuxRequest, mux_soundtrack, muxed_suffix, stream_lengths
from v2a_core.media.probe import read_timeline
from v2a_core.media.resample import PlacedSound
from v2a_core.media.write import write_audio


def sound(path: Path, track: int = 0) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=track)], axis=1)


def mix(video: Path, waveform: np.ndarray, under_db: float = 12.0, peak: float = -1.0) -> Path:
    out = video.with_name(f"out{muxed_suffix(video)}")
    mux_soundtrack(MuxRequest(video, waveform, 16_000, out, {}, MixUnder(under_db, peak)))
    return out


def level_db(waveform: np.ndarray, hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(waveform[:RATE] * np.hanning(RATE)))
    return float(20 * np.log10(spectrum[hz - 3 : hz + 4].max()))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("under_db", [6.0, 20.0])
def test_the_soundtrack_lies_so_many_db_under_what_is_there(tmp_path: Path, channels: int, under_db: float) -> None:
    there = np.stack([tone(2.0, 400.0)] * channels)
    video = render(tmp_path / "a.mp4", sound=there)
    out = mix(video, 0.9 * tone(2.0, 600.0, 16_000), under_db)
    heard = sound(out)
    assert heard.shape[0] == channels
    for channel in heard:
        # Two tones of nearly the same weight in BS.1770's filter.
        assert level_db(channel, 400) - level_db(channel, 600) == pytest.approx(under_db, abs=1.0)
    assert level_db(heard[0], 400) == pytest.approx(level_db(sound(video)[0], 400), abs=0.5)  # as loud as before
    assert abs(np.subtract(*stream_lengths(out))) <= MAX_DIFFERENCE_S


def test_a_mix_that_would_clip_is_lowered_as_a_whole(tmp_path: Path) -> None:
    video = render(tmp_path / "a.mp4", sound=(2.2 * tone(2.0, 1000.0) * np.hanning(2 * RATE)).astype(np.float32))
    heard = sound(mix(video, tone(2.0, 600.0, 16_000), 0.0))[0]
    assert np.abs(heard).max() < 1.0
    assert pyloudnorm.Meter(RATE).integrated_loudness(heard.astype(np.float64)) > -12


@pytest.mark.parametrize("silent", [None, np.zeros(2 * RATE, np.float32)])
def test_a_silent_video_gets_the_soundtrack_as_it_is(tmp_path: Path, silent: np.ndarray | None) -> None:
    heard = sound(mix(render(tmp_path / "a.mp4", sound=silent), tone(2.0, 500.0, 16_000)))[0]
    assert np.abs(heard[RATE // 2 : RATE]).max() == pytest.approx(0.4, rel=0.05)


@pytest.mark.slow
def test_minutes_are_mixed_in_little_memory(tmp_path: Path) -> None:
    there = tmp_path / "there.m4a"
    write_audio(there, tone(240.0, 400.0, 16_000), 16_000, as_it_comes("m4a"))
    waveform = tone(240.0, 900.0, 16_000)
    tracemalloc.start()
    try:
        planned = plan_mix(
            there, PlacedSound(waveform, 16_000, 0, len(waveform)), 0.0, under_db=12.0, true_peak_dbtp=-1.0
        )
        assert planned is not None
        samples = sum(block.shape[1] for block in planned.blocks())
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert samples == 240 * RATE
    assert held < 42e6  # the soundtrack alone at 48 kHz: 46 MB


def test_sound_that_begins_late_stays_where_it_is(tmp_path: Path) -> None:
    video = render(tmp_path / "a.mp4", sound=tone(1.0, 1000.0), sound_at_s=0.8)
    origin = read_timeline(video).origin_s
    blocks = np.concatenate(list(read_sound(video, origin, "mono", RATE, 2 * RATE)), axis=1)[0]
    assert len(blocks) == 2 * RATE
    begins = int(np.argmax(np.abs(blocks) > 0.1)) / RATE
    assert begins == pytest.approx(0.8, abs=0.02)
    heard = sound(mix(video, tone(2.0, 3000.0, 16_000), 20.0))[0]
    assert int(np.argmax(np.abs(heard) > 0.15)) / RATE == pytest.approx(0.8, abs=0.03)


def rich(folder: Path) -> Path:
    """A Matroska with two audio tracks, subtitles, chapters and an attachment."""
    video, other, text = folder / "a.mkv", folder / "b.mkv", folder / "a.srt"
    render(video, sound=tone(2.0, 1000.0))
    render(other, sound=tone(2.0, 2000.0), audio_codec="flac")
    text.write_text("1\n00:00:00,500 --> 00:00:01,500\nHello\n")
    out = folder / "rich.mkv"
    with av.open(str(video)) as one, av.open(str(other)) as two, av.open(str(text)) as lines:
        streams = [one.streams.video[0], one.streams.audio[0], two.streams.audio[0], lines.streams.subtitles[0]]
        with av.open(str(out), "w") as target:
            copies = [target.add_stream_from_template(stream, opaque=True) for stream in streams]
            copies[2].metadata["title"] = "Commentary"
            target.add_attachment("font.ttf", "font/ttf", b"0123456789")
            target.set_chapters(
                [{"id": 1, "start": 0, "end": 1000, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}},
                 {"id": 2, "start": 1000, "end": 2000, "time_base": Fraction(1, 1000), "metadata": {"title": "Two"}}]
            )  # fmt: skip
            for stream, copy in zip(streams, copies, strict=True):
                for packet in stream.container.demux(stream):
                    if packet.size and packet.dts is not None:
                        packet.stream = copy
                        target.mux(packet)
    return out


@pytest.mark.parametrize("mode", ["replace", "mix"])
def test_everything_else_stays(tmp_path: Path, mode: str) -> None:
    video = rich(tmp_path)
    out = tmp_path / "out.mkv"
    mux_soundtrack(
        MuxRequest(video, tone(2.0, 500.0, 16_000), 16_000, out, {}, MixUnder(6.0, -1.0) if mode == "mix" else None)
    )
    with av.open(str(out)) as container:
        kinds = [(stream.type, stream.metadata.get("title")) for stream in container.streams]
        assert [kind for kind, _ in kinds] == ["video", "audio", "audio", "subtitle", "attachment"]
        assert kinds[2][1] == "Commentary"
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["One", "Two"]
        chapter = container.chapters()[1]
        assert float(chapter["start"] * chapter["time_base"]) == pytest.approx(
            1.0 - read_timeline(video).origin_s, abs=0.01
        )
        assert bytes(container.streams[4].data) == b"0123456789"
    np.testing.assert_array_equal(sound(out, 1), sound(video, 1))  # the commentary, bit by bit
    assert abs(np.subtract(*stream_lengths(out))) <= MAX_DIFFERENCE_S


def test_a_cover_picture_stays(tmp_path: Path) -> None:
    video, cover, both = render(tmp_path / "a.mp4", offset_s=1.0), tmp_path / "cover.jpg", tmp_path / "both.mp4"
    Image.new("RGB", (32, 32), (200, 10, 10)).save(cover)
    with av.open(str(video)) as film, av.open(str(cover)) as picture, av.open(str(both), "w") as target:
        streams = [film.streams.video[0], picture.streams.video[0]]
        copies = [target.add_stream_from_template(stream, opaque=True) for stream in streams]
        copies[1].disposition = av.stream.Disposition.attached_pic
        for stream, copy in zip(streams, copies, strict=True):
            for packet in stream.container.demux(stream):
                if packet.size:
                    packet.stream = copy
                    target.mux(packet)
    out = tmp_path / "out.mp4"
    mux_soundtrack(MuxRequest(both, tone(2.0, rate=16_000), 16_000, out, {"comment": "AI-generated"}))
    with av.open(str(out)) as container:
        assert container.metadata["comment"] == "AI-generated"
        (shown,) = [s for s in container.streams.video if s.disposition & av.stream.Disposition.attached_pic]
        (packet,) = [packet for packet in container.demux(shown) if packet.stream_index == shown.index and packet.size]
        assert bytes(packet) == cover.read_bytes()
    assert stream_lengths(out) == pytest.approx((2.0, 2.0), abs=0.03)
