"""Sound as it is in files, and what a protocol hears of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from helpers_decode import request
from helpers_media import render, tone

from v2a_core.media.decode import decode_source
from v2a_core.media.sinc_resample import sinc_resample
from v2a_core.media.types import DecodedSegment, Pcm
from v2a_core.media.write import read_audio, read_pcm
from v2a_core.metrics.hearing_protocols import PROTOCOLS
from v2a_core.tables.evaluated import SAMPLES, pack_pcm, unpack_pcm


def stereo(seconds: float, rate: int) -> np.ndarray:
    return np.stack([tone(seconds, 440.0, rate), 0.5 * tone(seconds, 1000.0, rate)], axis=1)


def test_a_file_is_read_with_every_channel_at_its_own_rate(tmp_path):
    soundfile.write(tmp_path / "a.wav", stereo(0.5, 44_100), 44_100, "FLOAT")
    pcm = read_pcm(tmp_path / "a.wav")
    assert (pcm.sample_rate, pcm.length_s) == (44_100, 0.5)
    np.testing.assert_array_equal(pcm.samples_TC, stereo(0.5, 44_100))
    first, rate = read_audio(tmp_path / "a.wav")
    np.testing.assert_array_equal(first, pcm.samples_TC[:, 0])
    assert rate == 44_100
    assert pcm.span(0.4, 1.0).samples_TC.shape == (4410, 2)


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_the_sound_of_a_video_is_decoded_as_it_is(tmp_path, codec):
    suffix = {"aac": "mp4", "pcm_s16le": "mov"}[codec]
    clip = render(tmp_path / f"a.{suffix}", sound=stereo(2.0, 44_100).T, sound_rate=44_100, audio_codec=codec)
    asked = dataclasses.replace(request(clip), native=True)
    _, first, second = decode_source(asked)
    for item in (first, second):
        assert isinstance(item, DecodedSegment)
        assert item.waveform is None
        assert item.native is not None
        assert (item.native.samples_TC.shape, item.native.sample_rate) == ((44_100, 2), 44_100)
        spectra = np.abs(np.fft.rfft(item.native.samples_TC, axis=0))
        assert spectra.argmax(axis=0).tolist() == [440, 1000]


def test_sounds_travel_as_they_are():
    sounds = [Pcm(stereo(0.1, 8000), 8000), None, Pcm(np.zeros((0, 1), np.float32), 16_000)]
    column = pa.chunked_array([pa.array([item and pack_pcm(item) for item in sounds], SAMPLES)])
    first, nothing, empty = unpack_pcm(column)
    np.testing.assert_array_equal(first.samples_TC, sounds[0].samples_TC)
    assert (first.sample_rate, nothing, empty.samples_TC.shape) == (8000, None, (0, 1))


def test_the_paper_hears_the_first_channel_and_av_benchmark_the_mean():
    pcm = Pcm(stereo(12.0, 8000), 8000)
    paper, mean = PROTOCOLS["paper"], PROTOCOLS["av-benchmark"]
    first, mixed = pcm.samples_TC[:80_000, 0], pcm.samples_TC[:64_000].mean(axis=1)
    np.testing.assert_allclose(paper.mono(pcm), first - first.mean(), atol=1e-6)
    np.testing.assert_allclose(mean.mono(pcm), mixed - mixed.mean(), atol=1e-6)
    shifted = Pcm(pcm.samples_TC + np.float32(0.1), 8000)
    np.testing.assert_allclose(paper.mono(shifted), paper.mono(pcm), atol=1e-6)


def test_a_network_hears_the_sound_without_its_mean_value_resampled_and_cut():
    pcm = Pcm(stereo(9.0, 44_100) + np.float32(0.1), 44_100)
    whole = pcm.samples_TC.astype(np.float64).mean(axis=1)
    whole -= whole.mean()
    expected = sinc_resample(whole, 44_100, 16_000)[: 8 * 16_000]
    heard = PROTOCOLS["av-benchmark"].at_rate(pcm, 16_000)
    assert heard.dtype == np.float32
    np.testing.assert_allclose(heard, expected, atol=1e-6)
