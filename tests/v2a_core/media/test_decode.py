from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers_decode import decode, heard, indices, request, timed_frames
from helpers_media import index_of, moving, picture, render, tone
from PIL import Image

from v2a_core.media.config import FrameSettings, SegmentSettings
from v2a_core.media.decode import decode_source
from v2a_core.media.frames_av import AvReader
from v2a_core.media.frames_decord import DecordReader
from v2a_core.media.image import fit
from v2a_core.media.probe import read_timeline
from v2a_core.media.types import DecodedSegment, MediaError


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 s, 25 frames a second, a tone."""
    return render(tmp_path_factory.mktemp("media") / "clip.mp4", sound=tone(2.0))


def test_segments_hold_frames_at_centres_of_equal_intervals(clip: Path) -> None:
    first, second = decode(clip)
    np.testing.assert_allclose(first.frame_times_s, [0.12, 0.36, 0.6, 0.84])
    np.testing.assert_allclose(second.frame_times_s, [1.12, 1.36, 1.6, 1.84])
    assert indices(first) == [3, 9, 15, 21]
    assert indices(second) == [28, 34, 40, 46]
    assert first.frames_NHWC.shape == (4, 32, 32, 3)
    assert first.frames_NHWC.dtype == np.uint8
    assert (first.decoder, first.damaged, first.decoded_share, first.source_duration_s) == ("decord", False, 1.0, 2.0)
    assert (second.segment.index, second.segment.count, second.segment.start_s) == (1, 2, 1.0)


@pytest.mark.parametrize("error", ["ImportError('no wheel')", "OSError('libdecord.so: not page-aligned')"])
def test_without_a_decord_that_loads_pyav_decodes(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    (tmp_path / "decord.py").write_text(f"raise {error}")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "decord"]:
        monkeypatch.delitem(sys.modules, name)
    first, _ = decode(clip)
    assert first.decoder == "pyav"
    assert indices(first) == [3, 9, 15, 21]


def test_pyav_reads_the_frames_that_decord_reads(clip: Path) -> None:
    timeline = read_timeline(clip)
    wanted = np.array([0, 7, 8, 30, 49])
    by_decord = DecordReader(clip, timeline, 32).read(wanted)
    by_pyav = AvReader(clip, timeline, 32).read(wanted)
    assert [time for time, _ in by_decord] == [time for time, _ in by_pyav] == [0.0, 0.28, 0.32, 1.2, 1.96]
    for (_, one), (_, other) in zip(by_decord, by_pyav, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 2


def test_pyav_seeks_forwards_and_back(tmp_path: Path) -> None:
    path = render(tmp_path / "keys.mp4", options={"g": "10", "crf": "4"})
    reader = AvReader(path, read_timeline(path), 32)
    for wanted in ([41, 45], [3], [12, 48], [0, 49], [49]):
        assert [index_of(frame) for _, frame in reader.read(np.array(wanted))] == wanted
    assert reader.errors == 0


def test_resize_equals_open_clips_transform() -> None:
    from v2a_core.compute.torchvision_import import prepare_torchvision

    prepare_torchvision()
    from open_clip.transform import image_transform

    transform = image_transform(32, is_train=False, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    generator = np.random.default_rng(0)
    for width, height in ((64, 48), (48, 64), (33, 32), (32, 32), (20, 31), (101, 35)):
        image = Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))
        expected = (transform(image).permute(1, 2, 0) * 255).round().byte().numpy()
        np.testing.assert_array_equal(fit(image, 32), expected)


def test_variable_frame_rate_is_sampled_by_time(tmp_path: Path) -> None:
    stamps = [0, 1, 2, 3, 30, 31, 48, 49]
    path = render(tmp_path / "vfr.mp4", pts=stamps)
    first, second = decode(path)
    # On the screen at 0.125, 0.375, 0.625 and 0.875 s is the frame of 0.12 s: embedded once, with its real time.
    assert indices(first) == [3]
    np.testing.assert_allclose(first.frame_times_s, [0.12])
    assert indices(second) == [3, 5]
    np.testing.assert_allclose(second.frame_times_s, [0.12, 1.24])


def test_rotated_video_comes_out_upright(tmp_path: Path) -> None:
    left_bright = np.zeros((64, 64, 3), np.uint8)
    left_bright[:, :32] = 220
    for degrees in (90, 180, -90):
        path = render(
            tmp_path / f"{degrees}.mp4", pts=range(10), size=(64, 64), pictures=[left_bright] * 10, rotation=degrees
        )
        (item,) = decode(path)
        expected = np.rot90(left_bright[::2, ::2], degrees // 90)
        assert np.abs(item.frames_NHWC[0].astype(int) - expected).mean() < 6
        assert item.decoder == "pyav"


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.mkv", "libx264", "yuv420p"),
        ("a.mov", "libx264", "yuv444p"),
        ("a.mkv", "libx264", "yuv420p10le"),
        ("a.ts", "libx264", "yuv420p"),
        ("a.avi", "mpeg4", "yuv420p"),
        ("a.avi", "libx264", "yuv420p"),
        ("a.mp4", "libx265", "yuv420p"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("a.mp4", "libsvtav1", "yuv420p"),
        ("a.mpg", "mpeg2video", "yuv420p"),
        ("a.gif", "gif", "rgb8"),
        ("b.mov", "mpeg4", "yuv420p"),
        ("b.webm", "libsvtav1", "yuv420p10le"),
        ("b.mkv", "libvpx-vp9", "yuv444p"),
        ("b.ts", "libx265", "yuv420p10le"),
        ("b.mp4", "libx264", "yuv422p10le"),
        ("b.mov", "prores_ks", "yuv422p10le"),
    ],
)
def test_containers_and_codecs_give_the_same_frames(tmp_path: Path, name: str, codec: str, pix_fmt: str) -> None:
    options = {"x265-params": "log-level=none:crf=4"} if codec == "libx265" else None
    path = render(
        tmp_path / name,
        codec=codec,
        pix_fmt=pix_fmt,
        options=options,
        size=(96, 64),
        offset_s=0 if name == "a.avi" else 1.0,
    )
    first, second = decode(path)
    tolerance = 9 if codec == "gif" else 1  # 256 colours
    assert np.abs(np.array(indices(first)) - [3, 9, 15, 21]).max() <= tolerance
    assert np.abs(np.array(indices(second)) - [28, 34, 40, 46]).max() <= tolerance
    np.testing.assert_allclose(second.frame_times_s, [1.12, 1.36, 1.6, 1.84], atol=0.002)
    assert not first.damaged
    assert first.source_duration_s == pytest.approx(2.0, abs=0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")
def test_no_encoder_of_the_tests_changes_how_they_are_scheduled(tmp_path: Path) -> None:
    before = os.sched_getscheduler(0)
    render(tmp_path / "a.mp4", codec="libsvtav1", size=(96, 64))
    assert os.sched_getscheduler(0) == before


def test_a_whole_source_has_a_bounded_number_of_frames_and_the_sound_that_is_heard(tmp_path: Path) -> None:
    path = render(tmp_path / "whole.mp4", pts=range(0, 1000, 10), sound=tone(40.0))
    frames = FrameSettings(frames_per_second=4.0, max_frames=20)
    (item,) = decode(path, segments=SegmentSettings(whole=True), frames=frames)
    assert item.segment.duration_s == pytest.approx(39.6, abs=0.5)
    assert len(item.frame_times_s) == 20
    assert item.frame_times_s[-1] > 38
    assert item.waveform is not None
    assert item.waveform.shape == (32_000,)  # at 16 kHz, what CLAP hears at 48
    assert heard(item).shape == (96_000,)


def test_all_frames_are_taken_each_in_its_segment(clip: Path) -> None:
    first, second = decode(clip, frames=FrameSettings(frames_per_second="all"))
    assert (indices(first), indices(second)) == (list(range(25)), list(range(25, 50)))
    assert not first.damaged


def test_of_more_frames_than_are_allowed_all_takes_some_evenly(clip: Path) -> None:
    (item,) = decode(
        clip, segments=SegmentSettings(whole=True), frames=FrameSettings(frames_per_second="all", max_frames=10)
    )
    assert indices(item) == [2, 7, 12, 17, 22, 27, 32, 37, 42, 47]


def test_a_segment_in_which_no_frame_begins_has_the_one_that_is_shown(tmp_path: Path) -> None:
    path = render(tmp_path / "slow.mp4", pts=[0, 60, 75])
    found = decode(path, frames=FrameSettings(frames_per_second="all"))
    assert [indices(item) for item in found] == [[0], [0], [1], [2]][: len(found)]


def test_skipping_frames_and_taking_all_is_refused() -> None:
    with pytest.raises(ValueError, match="choose"):
        FrameSettings(frames_per_second="all", sampling="fast")


def test_one_frame_is_one_segment(tmp_path: Path) -> None:
    (item,) = decode(render(tmp_path / "one.mp4", pts=[0]))
    assert len(item.frames_NHWC) == 1
    assert (item.segment.count, item.segment.duration_s) == (1, pytest.approx(0.04))
    assert item.waveform is None


def test_half_a_second_is_one_segment(tmp_path: Path) -> None:
    (item,) = decode(render(tmp_path / "half.mp4", pts=range(12), sound=tone(0.48)))
    assert item.segment.duration_s == pytest.approx(0.48)
    assert len(item.frames_NHWC) == 2
    # Repeated as CLAP's training did: sound all the way to the last whole repetition.
    assert np.abs(heard(item)[80_000:90_000]).max() > 0.3


def test_odd_size(tmp_path: Path) -> None:
    path = render(tmp_path / "odd.mkv", size=(65, 47), pix_fmt="yuv444p", pts=range(10))
    assert decode(path)[0].frames_NHWC.shape[1:] == (32, 32, 3)


def test_sound_is_aligned_to_the_picture(tmp_path: Path) -> None:
    path = render(tmp_path / "late.mp4", sound=tone(1.2), sound_at_s=0.8, offset_s=2.0)
    first, second = decode(path)
    # Of the repeated second of the first segment only its last fifth has sound.
    quiet, loud = heard(first)[2400:36_000], heard(first)[39_400:47_000]
    assert np.abs(quiet).max() < 0.02
    assert np.abs(loud).max() > 0.4
    assert np.sqrt(np.mean(heard(second) ** 2)) > 0.15


def test_sound_that_begins_before_the_picture_is_cut(tmp_path: Path) -> None:
    sound = np.concatenate([tone(0.5), np.zeros(72_000, np.float32)])
    path = render(tmp_path / "early.mkv", sound=sound, sound_at_s=-0.5, offset_s=1.0, audio_codec="flac")
    assert all(item.silent for item in decode(path))


@pytest.mark.parametrize(
    ("rate", "channels", "codec", "suffix"),
    [
        (8000, 1, "aac", "mkv"),
        (44_100, 2, "aac", "ts"),
        (48_000, 2, "aac", "mp4"),
        (44_100, 2, "aac", "mkv"),
        (48_000, 6, "flac", "mkv"),
        (96_000, 2, "flac", "mkv"),
        (48_000, 2, "libopus", "mkv"),
        (48_000, 6, "aac", "mkv"),
        (11_025, 1, "pcm_s16le", "mkv"),
        (32_000, 2, "ac3", "mkv"),
    ],
)
def test_rates_and_layouts(tmp_path: Path, rate: int, channels: int, codec: str, suffix: str) -> None:
    left = tone(2.0, 500.0, rate)
    sound = np.stack([left, *[np.zeros_like(left)] * (channels - 1)])
    path = render(tmp_path / f"sound.{suffix}", sound=sound, sound_rate=rate, audio_codec=codec)
    for item in decode(path):
        waveform = heard(item)
        assert waveform.shape == (96_000,)
        assert waveform.dtype == np.float32
        assert np.abs(waveform).max() == pytest.approx(0.5, abs=0.1)
        spectrum = np.abs(np.fft.rfft(waveform[:48_000]))
        assert int(spectrum.argmax()) == 500
        assert item.audio_rms_dbfs == pytest.approx(20 * np.log10(0.4 / np.sqrt(2)), abs=0.5)


def test_silence_is_flagged_and_no_sound_is_none(tmp_path: Path) -> None:
    silent = decode(render(tmp_path / "silent.mp4", sound=np.zeros(96_000, np.float32)))[0]
    assert silent.silent
    assert silent.audio_rms_dbfs == -120.0
    assert silent.waveform is not None
    assert not silent.waveform.any()
    mute = decode(render(tmp_path / "mute.mp4"))[0]
    assert (mute.waveform, mute.audio_rms_dbfs, mute.silent) == (None, None, False)


def test_sound_is_left_out_when_nobody_wants_it(clip: Path) -> None:
    assert all(item.waveform is None for item in decode(clip, want_audio=False))


def test_done_segments_are_skipped(clip: Path) -> None:
    planned = next(iter(decode_source(request(clip))))
    assert isinstance(planned, list)
    (item,) = decode(clip, skip=frozenset({planned[0].segment_id}))
    assert item.segment == planned[1]
    assert decode(clip, skip=frozenset(segment.segment_id for segment in planned)) == []


def test_a_span_is_cut_out(clip: Path) -> None:
    (item,) = decode(clip, start_s=0.5, span_s=0.8)
    assert (item.segment.start_s, item.segment.duration_s, item.source_duration_s) == (0.5, 0.8, 0.8)
    assert indices(item) == [15, 22, 29]
    with pytest.raises(MediaError, match="outside"):
        decode(clip, start_s=7.0)


def test_fast_sampling_takes_the_nearest_frame_that_others_refer_to(tmp_path: Path) -> None:
    path = render(
        tmp_path / "a.mp4",
        pts=range(100),
        pictures=moving(100),
        size=(160, 90),
        options={"bf": "3", "x264-params": "scenecut=0"},
    )
    exact = decode(path)
    fast = decode(path, frames=FrameSettings(frames_per_second=4.0, sampling="fast"))
    assert {item.decoder for item in fast} == {"pyav-fast"}
    assert [len(item.frame_times_s) for item in fast] == [len(item.frame_times_s) for item in exact] == [4] * 4
    right = {round(time * 25): frame for time, frame in AvReader(path, read_timeline(path), 32).read(np.arange(100))}
    for one, other in zip(fast, exact, strict=True):
        assert not one.damaged
        assert np.abs(one.frame_times_s - other.frame_times_s).max() <= 2 / 25
        for time, frame in timed_frames(one):  # the picture belongs to the time that is given for it
            assert np.abs(frame.astype(int) - right[round(time * 25)]).mean() < 12
    assert any((one.frame_times_s != other.frame_times_s).any() for one, other in zip(fast, exact, strict=True))


def test_images(tmp_path: Path) -> None:
    for suffix in ("png", "jpg", "webp", "bmp"):
        path = tmp_path / f"still.{suffix}"
        Image.fromarray(picture(20)).save(path)
        (item,) = decode(path, kind="image")
        assert indices(item) == [20]
        assert (item.decoder, item.segment.duration_s, item.source_duration_s) == ("pillow", 10.0, 10.0)
        assert (item.waveform, item.segment.count) == (None, 1)


def test_photographs_come_out_upright(tmp_path: Path) -> None:
    left_bright = np.zeros((32, 32, 3), np.uint8)
    left_bright[:, :16] = 200
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees to the right
    Image.fromarray(left_bright).save(tmp_path / "a.png", exif=exif)
    (item,) = decode(tmp_path / "a.png", kind="image")
    np.testing.assert_array_equal(item.frames_NHWC[0], np.rot90(left_bright, -1))


@pytest.mark.parametrize("name", ["a b.mp4", "100%.mp4", "%03d.mp4", "ünïcode 日本.mp4", "[x]{1,2}.mp4", "a:b?c#d.mp4"])
def test_names_are_taken_literally(tmp_path: Path, clip: Path, name: str) -> None:
    shutil.copy(clip, tmp_path / name)
    assert len(decode(tmp_path / name)) == 2


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    """Segments are yielded one by one: the second one is not decoded before it is asked for."""
    path = render(tmp_path / "long.mp4", pts=range(0, 6000, 10))
    stream = decode_source(request(path))
    assert len(next(stream)) == 240
    assert isinstance(next(stream), DecodedSegment)
    stream.close()
