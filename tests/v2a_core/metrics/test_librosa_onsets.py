"""Onsets for AV-Align are those that librosa finds in the file itself."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import soundfile
from helpers_networks import seeded_sounds

from v2a_core.media.write import read_pcm
from v2a_core.metrics.extractors.librosa_onsets import LibrosaOnsets
from v2a_core.metrics.hearing_protocols import PROTOCOLS


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100])
def test_onsets_are_those_of_librosa_in_the_file(tmp_path, rate):
    for number, sound in enumerate(seeded_sounds([2.0, 2.0, 0.5], rate)):
        soundfile.write(tmp_path / f"{number}.wav", sound, rate, "FLOAT")
    paths = sorted(tmp_path.iterdir())
    weights = LibrosaOnsets.program("librosa-onsets")
    found = LibrosaOnsets.opened(weights, "cpu").extract([read_pcm(path) for path in paths], PROTOCOLS["paper"])
    for path, onsets in zip(paths, found["onsets_s"].to_pylist(), strict=True):
        samples = librosa.resample(soundfile.read(path, dtype="float32")[0], orig_sr=rate, target_sr=22_050)
        own = 22_050  # as librosa.load gives it
        expected = librosa.onset.onset_detect(
            onset_envelope=librosa.onset.onset_strength(y=samples, sr=own), sr=own, units="time"
        )
        np.testing.assert_allclose(onsets, expected, atol=1e-6)
