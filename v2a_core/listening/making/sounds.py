"""The sounds of an item, alike in all but who made them: one length, rate, channel and loudness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from v2a_core import storage
from v2a_core.listening.making.config import MakingSettings
from v2a_core.media.config import FinishSettings
from v2a_core.media.loudness import FinishedWaveform, finish_waveform
from v2a_core.media.types import Pcm
from v2a_core.media.write import read_pcm

RATE: Final = 48_000


def alike(sounds: Mapping[str, Pcm], length_s: float, settings: MakingSettings) -> dict[str, FinishedWaveform]:
    """Sounds of one item for listeners, by system.

    All get the loudness of the one whose peak keeps it from being louder, so that none is preferred for being loud.

    Args:
        sounds: As they are in their files; channels are averaged.
        length_s: What is behind is cut off.
        settings: The loudness and peak that are wanted.

    Raises:
        MediaError: When one of them is silent.
    """
    wanted = _finishing(settings.loudness_lufs, settings)
    waveforms = {name: _mono(pcm.span(0.0, length_s)) for name, pcm in sounds.items()}
    reached = {name: finish_waveform(waveforms[name], sounds[name].sample_rate, wanted) for name in sounds}
    lowest = min(sound.loudness_lufs for sound in reached.values())
    level = _finishing(max(-70.0, lowest), settings)
    return {name: finish_waveform(waveforms[name], sounds[name].sample_rate, level) for name in sounds}


def read_sound(uri: str) -> Pcm:
    """A sound as it is in its file.

    Raises:
        MediaError: When it cannot be read.
        OSError: When it is gone.
    """
    with storage.local_copy(uri) as path:
        return read_pcm(path)


def _finishing(loudness_lufs: float, settings: MakingSettings) -> FinishSettings:
    # Steps of a hundredth of a decibel are kept: a gain is a number, whatever its file says.
    return FinishSettings(
        sample_rate_hz=RATE, loudness_lufs=min(0.0, loudness_lufs), true_peak_dbtp=settings.true_peak_dbtp
    )


def _mono(pcm: Pcm) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    mixed = pcm.samples_TC.mean(axis=1, dtype=np.float64)
    return np.ascontiguousarray(mixed - mixed.mean(), np.float32)
