"""Sounds through the miniature's VAE and vocoder and back."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch

from v2a_core.media.log_mel import log_mel
from v2a_core.media.types import Pcm
from v2a_core.metrics.hearing_protocols import PROTOCOLS
from v2a_core.miniature.world import WorldSettings, render_sound, sample
from v2a_core.models import load_bundle
from v2a_core.stages.round_trip import RoundTrip, through
from v2a_core.tables.evaluated import SAMPLES, pack_pcm, unpack_pcm

RATE = 16_000


@pytest.fixture(scope="module")
def trip():
    return RoundTrip(load_bundle("miniature").resolve(), "cpu")


@pytest.fixture(scope="module")
def sounds():
    scenes = [sample(WorldSettings(), "test", index) for index in range(4)]
    return [render_sound(scene, length_s=2.0)[: 2 * RATE - 77] for scene in scenes]


def distance(first: np.ndarray, second: np.ndarray) -> float:
    mels = [log_mel(torch.from_numpy(sound)[None])[0] for sound in (first, second)]
    return float((mels[0] - mels[1]).abs().mean())


def test_a_sound_comes_back_as_itself_and_as_loud(trip, sounds):
    back = [trip(sound) for sound in sounds]
    for number, sound in enumerate(sounds):
        assert back[number].shape == sound.shape
        others = [distance(sound, other) for other in back[:number] + back[number + 1 :]]
        assert distance(sound, back[number]) < 0.6 * min(others)
        # The miniature's VAE blurs, which costs level; a whole decade would be another scale.
        assert 0.3 < np.sqrt(np.square(back[number]).mean() / np.square(sound).mean()) < 3
    quiet = trip(sounds[0] * np.float32(0.01))
    np.testing.assert_allclose(quiet, back[0] * 0.01, atol=1e-4)


def test_rows_become_what_a_protocol_hears_of_them_after_it(trip, sounds):
    stereo = Pcm(np.stack([sounds[0], np.zeros_like(sounds[0])], axis=1), RATE)
    table = pa.table({"name": ["one", "none"], "sound": pa.array([pack_pcm(stereo), None], SAMPLES)})
    first, second = unpack_pcm(through(table, trip, PROTOCOLS["paper"])["sound"])
    assert second is None
    assert (first.sample_rate, first.samples_TC.shape) == (RATE, (len(sounds[0]), 1))
    centred = sounds[0] - np.float32(sounds[0].mean(dtype=np.float64))
    np.testing.assert_allclose(first.samples_TC[:, 0], trip(centred), atol=1e-4)
