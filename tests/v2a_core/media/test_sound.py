from __future__ import annotations

import tracemalloc
from pathlib import Path

import av
import numpy as np
import pyloudnorm
import pytest
import soundfile
from helpers_media import tone
from hypothesis import given, settings
from hypothesis import strategies as st

from v2a_core import config
from v2a_core.media.audio_formats import AUDIO_FORMATS, as_it_comes
from v2a_core.media.config import FinishSettings
from v2a_core.media.loudness import finish_waveform, loudness, true_peak
from v2a_core.media.resample import PlacedSound, clap_waveform, fit_length, resample, resampled_blocks, rms_dbfs
from v2a_core.media.types import MediaError, MediaSpec
from v2a_core.media.write import read_audio, write_audio

DATA = Path(__file__).parents[2] / "data"
SPEC = MediaSpec(audio_samples=480_000)


@pytest.mark.parametrize("audio_format", ["wav", "flac"])
def test_audio_files_hold_the_nearest_of_16_bit(tmp_path: Path, audio_format: str) -> None:
    waveform = np.concatenate([tone(0.5, rate=16_000), np.array([1.0, -1.0, 0.0], np.float32)])
    path = tmp_path / f"a.{audio_format}"
    write_audio(path, waveform, 16_000, as_it_comes(audio_format))
    heard, rate = read_audio(path)
    assert rate == 16_000
    np.testing.assert_array_equal(np.rint(heard * 32768), np.rint(waveform.astype(np.float64) * 32767))
    assert path.read_bytes()[:4] == {"wav": b"RIFF", "flac": b"fLaC"}[audio_format]


@pytest.mark.parametrize("value", [np.nan, np.inf, 1.01])
def test_samples_that_cannot_be_written_are_refused(tmp_path: Path, value: float) -> None:
    with pytest.raises(MediaError):
        write_audio(tmp_path / "a.wav", np.array([0.0, value], np.float32), 16_000, as_it_comes("wav"))
    assert not (tmp_path / "a.wav").exists()


@pytest.mark.parametrize("rate", [44_100, 48_000])
@pytest.mark.parametrize("audio_format", ["wav", "flac"])
def test_clap_hears_what_audioldms_clap_heard(tmp_path: Path, audio_format: str, rate: int) -> None:
    """Against torchaudio's resampling in AudioLDM's order (tests/data/make_oracles.py), from two channels in a file."""
    with np.load(DATA / "heard_by_clap.npz") as theirs:
        sound, expected = theirs["sound"], theirs[str(rate)]
    np.testing.assert_allclose(clap_waveform(sound[0], rate, SPEC)[: len(expected)], expected, atol=1e-6)
    path = tmp_path / f"two-channels.{audio_format}"
    soundfile.write(path, 0.5 * sound.T, rate, "PCM_24")
    waveform, read_rate = read_audio(path)
    np.testing.assert_allclose(clap_waveform(waveform, read_rate, SPEC)[: len(expected)], expected, atol=1e-5)


def test_clap_hears_the_same_of_a_sound_whatever_follows_what_it_can_hear() -> None:
    quiet, loud = tone(10.0, 300.0, 16_000), 3 * tone(2.0, 900.0, 16_000) + np.float32(0.1)
    heard = clap_waveform(quiet, 16_000, SPEC)
    np.testing.assert_array_equal(clap_waveform(np.concatenate([quiet, loud]), 16_000, SPEC), heard)
    assert np.abs(heard).max() == pytest.approx(0.5, abs=0.01)


def test_short_sound_is_repeated_whole_times_then_padded() -> None:
    heard = clap_waveform(tone(3.0, 300.0, 48_000), 48_000, SPEC)
    assert heard.shape == (480_000,)
    np.testing.assert_array_equal(heard[:144_000], heard[144_000:288_000])
    np.testing.assert_array_equal(heard[:144_000], heard[288_000:432_000])
    assert not heard[432_000:].any()


@given(
    rate=st.sampled_from([8000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000]),
    samples=st.integers(1, 4000),
    gain=st.sampled_from([0.0, 1e-7, 1e-3, 1.0, 30.0]),
    seed=st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_any_sound_becomes_a_finite_waveform_of_the_right_length(
    rate: int, samples: int, gain: float, seed: int
) -> None:
    spec = MediaSpec(audio_samples=9_600)
    noise = (gain * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)
    heard = clap_waveform(noise, rate, spec)
    assert heard.shape == (9_600,)
    assert heard.dtype == np.float32
    assert np.isfinite(heard).all()
    assert np.abs(heard).max() < 2.0
    assert -120 <= rms_dbfs(noise) < 60


@given(samples=st.integers(1, 5000), rates=st.permutations([8000, 16_000, 44_100, 48_000]))
@settings(max_examples=30, deadline=None)
def test_resampling_keeps_the_duration(samples: int, rates: list[int]) -> None:
    waveform = np.ones(samples, np.float32)
    assert len(resample(waveform, rates[0], rates[1])) == round(samples * rates[1] / rates[0])
    assert len(fit_length(waveform, 777)) == 777


def noise(seconds: float, rate: int = 16_000, seed: int = 0) -> np.ndarray:
    return (0.02 * np.random.default_rng(seed).standard_normal(round(seconds * rate))).astype(np.float32)


def test_loudness_reaches_its_target() -> None:
    finished = finish_waveform(noise(4.0), 16_000, FinishSettings())
    measured = pyloudnorm.Meter(16_000).integrated_loudness(finished.waveform.astype(np.float64))
    assert measured == pytest.approx(-23.0, abs=0.1)
    assert finished.loudness_lufs == pytest.approx(measured)
    # Never below the highest sample, and for noise not far above.
    assert 0 <= finished.true_peak_dbtp - 20 * np.log10(np.abs(finished.waveform).max()) < 1
    assert finished.waveform.dtype == np.float32


def test_the_peak_limit_wins() -> None:
    clicks = np.zeros(32_000, np.float32)
    clicks[::4000] = 1.0
    finished = finish_waveform(clicks, 16_000, FinishSettings(loudness_lufs=-10.0, true_peak_dbtp=-3.0))
    assert finished.true_peak_dbtp == pytest.approx(-3.0, abs=0.01)
    assert finished.loudness_lufs < -10.0


@pytest.mark.parametrize("rates", [(16_000, 48_000), (48_000, 16_000), (48_000, 48_000)])
@pytest.mark.parametrize("samples", [1, 1000, 2**18, 2**18 + 1, 3 * 2**18 - 5])
def test_blocks_are_resampled_like_the_whole(rates: tuple[int, int], samples: int) -> None:
    waveform = np.random.default_rng(0).uniform(-1, 1, samples).astype(np.float32)
    pieces = list(resampled_blocks(waveform, *rates))
    np.testing.assert_allclose(np.concatenate(pieces), resample(waveform, *rates), atol=1e-6)


@pytest.mark.slow
def test_long_sound_is_finished_in_the_memory_of_two_waveforms(tmp_path: Path) -> None:
    waveform = np.random.default_rng(0).standard_normal(16_000 * 600).astype(np.float32) * np.float32(0.1)
    tracemalloc.start()
    try:
        finished = finish_waveform(waveform, 16_000, FinishSettings())
        write_audio(tmp_path / "ten-minutes.m4a", finished.waveform, 16_000, as_it_comes("m4a"))
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert held < 2 * waveform.nbytes + 64 * 2**20


@pytest.mark.parametrize("length_s", [0.5, 59.95, 60.0, 60.35, 61.7, 150.0])
@pytest.mark.parametrize("channels", [1, 2])
def test_loudness_measured_in_pieces_is_that_of_the_whole(length_s: float, channels: int) -> None:
    random = np.random.default_rng(0)
    sound = random.normal(size=(round(length_s * 8000), channels)) * 0.1
    sound *= (
        np.abs(np.sin(1 + np.arange(len(sound)) / 30_000))[:, np.newaxis] ** 4
    )  # loud and quiet stretches: the gate
    sound = sound[:, 0] if channels == 1 else sound
    whole = pyloudnorm.Meter(8000).integrated_loudness(sound)
    blocks = np.atleast_2d(sound.T)
    assert loudness([blocks], 8000) == pytest.approx(whole, abs=1e-6)
    assert loudness(np.array_split(blocks, 37, axis=1), 8000) == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_the_true_peak_lies_between_the_samples(rate: int) -> None:
    """A tone of a quarter of the rate, sampled 45 degrees off its peaks: samples show 3 dB less than there is."""
    samples = np.sin(np.pi / 2 * np.arange(rate) + np.pi / 4).astype(np.float32)
    assert np.abs(samples).max() == pytest.approx(np.sqrt(0.5), rel=1e-4)
    assert true_peak([samples[np.newaxis]], rate) == pytest.approx(1.0, abs=0.06)
    finished = finish_waveform(samples, rate, FinishSettings(loudness_lufs=0.0, sample_rate_hz=rate))  # type: ignore[arg-type]
    inner = finished.waveform[2000:-2000]
    assert 20 * np.log10(np.abs(inner).max() * np.sqrt(2)) <= -0.9


@given(sizes=st.lists(st.integers(0, 6_000), min_size=1, max_size=8), seed=st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_the_true_peak_does_not_depend_on_the_blocks(sizes: list[int], seed: int) -> None:
    sound = np.random.default_rng(seed).standard_normal((2, sum(sizes))).astype(np.float32)
    blocks = np.split(sound, np.cumsum(sizes)[:-1], axis=1)
    whole = true_peak([sound], 1000)
    assert true_peak(blocks, 1000) == pytest.approx(whole, rel=0.02)
    assert whole >= np.abs(sound).max(initial=0.0)


def test_the_sound_can_leave_at_48_khz() -> None:
    finished = finish_waveform(noise(2.0), 16_000, FinishSettings(sample_rate_hz=48_000))
    assert (finished.sample_rate, len(finished.waveform)) == (48_000, 96_000)
    assert pyloudnorm.Meter(48_000).integrated_loudness(finished.waveform.astype(np.float64)) == pytest.approx(
        -23, abs=0.1
    )


@pytest.mark.parametrize("rate", [16_000, 48_000])
@pytest.mark.parametrize("audio_format", AUDIO_FORMATS.names())
def test_every_format_keeps_length_level_and_says_what_it_is(tmp_path: Path, audio_format: str, rate: int) -> None:
    path = tmp_path / f"a.{audio_format}"
    waveform = 0.5 * tone(3.21, 440.0, rate)
    write_audio(
        path,
        waveform,
        rate,
        as_it_comes(audio_format),
        {"encoder": "v2a test", "comment": "AI-generated; seed 7"},
    )
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        tags = {key.lower(): value for key, value in {**container.metadata, **stream.metadata}.items()}
        heard = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
        assert stream.sample_rate == rate
    assert tags["comment"] == "AI-generated; seed 7"
    if heard.dtype == np.int16:
        heard = heard.astype(np.float32) / 32768
    codec_frame = {"m4a": 1024, "ogg": 256}.get(audio_format, 0)
    assert len(heard) == pytest.approx(3.21 * rate, abs=codec_frame + 1)
    assert np.sqrt(np.mean(heard**2)) == pytest.approx(0.2 / np.sqrt(2), rel=0.03)
    assert int(np.abs(np.fft.rfft(heard[:rate])).argmax()) == pytest.approx(440, abs=1)


def test_a_format_is_coded_as_its_own_settings_say(tmp_path: Path) -> None:
    settings = config.build(FinishSettings, {}, ["audio_format.kind=ogg", "audio_format.quality=0.9"])
    waveform, sizes = noise(2.0), {}
    for name, coded in {"plain": as_it_comes("ogg"), "better": settings.audio_format}.items():
        write_audio(tmp_path / f"{name}.ogg", waveform, 48_000, coded)
        sizes[name] = (tmp_path / f"{name}.ogg").stat().st_size
    assert sizes["better"] > 1.5 * sizes["plain"]
    # The default is libsndfile's own, so what was made before is made again.
    with soundfile.SoundFile(tmp_path / "own.ogg", "w", 48_000, 1, "VORBIS", format="OGG") as file:
        file.write(waveform[: 2**14])
    write_audio(tmp_path / "ours.ogg", waveform[: 2**14], 48_000, as_it_comes("ogg"))
    assert (tmp_path / "own.ogg").stat().st_size == (tmp_path / "ours.ogg").stat().st_size
    assert config.build(FinishSettings, {}, ["audio_format=flac"]).audio_format == as_it_comes("flac")
    with pytest.raises(config.ConfigError, match=r"it is a setting of audio_format\.kind = ogg"):
        config.build(FinishSettings, {}, ["audio_format.quality=0.9"])


def test_short_sound_is_levelled_by_its_rms() -> None:
    finished = finish_waveform(noise(0.2), 16_000, FinishSettings(fade_s=0.0))
    assert 20 * np.log10(np.sqrt(np.mean(finished.waveform**2))) == pytest.approx(-23.0, abs=0.01)


def test_ends_are_faded_and_the_input_is_left_alone() -> None:
    waveform = tone(1.0, rate=16_000)
    before = waveform.copy()
    waveform.flags.writeable = False
    finished = finish_waveform(waveform, 16_000, FinishSettings())
    np.testing.assert_array_equal(waveform, before)
    assert abs(finished.waveform[0]) < 1e-4
    assert abs(finished.waveform[-1]) < 1e-4


@pytest.mark.parametrize(
    ("waveform", "error_type"),
    [
        (np.zeros(16_000), "Silent"),
        (np.full(16_000, 1e-7), "Silent"),
        (np.array([0.1, np.nan] * 100), "NotFinite"),
        (np.array([np.inf] * 100), "NotFinite"),
        (np.zeros(0), "Empty"),
    ],
)
def test_what_is_no_soundtrack_is_refused(waveform: np.ndarray, error_type: str) -> None:
    with pytest.raises(MediaError) as caught:
        finish_waveform(waveform.astype(np.float32), 16_000, FinishSettings())
    assert (caught.value.stage, caught.value.error_type) == ("finish", error_type)


def test_without_level_peak_and_fade_a_waveform_stays_as_it_was_generated() -> None:
    waveform = (0.003 * np.random.default_rng(1).standard_normal(16_000)).astype(np.float32)
    as_it_is = FinishSettings(loudness_lufs="none", true_peak_dbtp="none", fade_s=0.0)
    finished = finish_waveform(waveform, 16_000, as_it_is)
    np.testing.assert_array_equal(finished.waveform, waveform)
    assert finished.loudness_lufs < -40
    assert np.abs(finish_waveform(300 * waveform, 16_000, as_it_is).waveform).max() == 1.0
    limited = finish_waveform(300 * waveform, 16_000, FinishSettings(loudness_lufs="none"))
    assert limited.true_peak_dbtp == pytest.approx(-1.0, abs=0.01)


@given(samples=st.integers(1, 20_000), gain=st.floats(1e-3, 50), seed=st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_a_finished_waveform_never_clips(samples: int, gain: float, seed: int) -> None:
    waveform = (gain * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)
    try:
        finished = finish_waveform(waveform, 16_000, FinishSettings(loudness_lufs=-5.0, fade_s=0.0))
    except MediaError:
        return
    assert np.abs(finished.waveform).max() <= 10 ** (-1 / 20) + 1e-6
    assert np.isfinite([finished.true_peak_dbtp, finished.loudness_lufs]).all()


@pytest.mark.parametrize(
    ("start", "samples"), [(0, 5), (0, 3), (2, 7), (2, 4), (9, 3), (0, 600_000), (300_000, 300_002)]
)
def test_a_waveform_has_its_place_in_silence_that_nobody_holds(start: int, samples: int) -> None:
    waveform = np.arange(1, 6, dtype=np.float32)
    expected = np.concatenate([np.zeros(start, np.float32), waveform, np.zeros(samples, np.float32)])[:samples]
    blocks = list(PlacedSound(waveform, 16_000, start, samples).blocks())
    np.testing.assert_array_equal(np.concatenate(blocks), expected)
    assert max(map(len, blocks)) <= 2**18
