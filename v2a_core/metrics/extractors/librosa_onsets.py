"""Onsets as librosa finds them, for AV-Align: its published script takes these, and no others give its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa

from v2a_core.media.resample import resample
from v2a_core.media.types import Pcm
from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.extractors.base import Floats
from v2a_core.metrics.extractors.folder import HearingExtractor, Weights, of_program
from v2a_core.metrics.hearing_protocols import Protocol
from v2a_core.tables.columns import Column
from v2a_core.tables.schema import FLOATS

RATE = 22_050  # librosa's own


def librosa_onsets(sound_T: Floats) -> list[float]:
    """When something begins to sound, seconds, ascending; with librosa's default settings.

    Args:
        sound_T: Float32, at `RATE`.
    """
    import librosa

    strength_F = librosa.onset.onset_strength(y=sound_T, sr=RATE)
    onsets_s = librosa.onset.onset_detect(onset_envelope=strength_F, sr=RATE, units="time")
    return [float(onset) for onset in np.atleast_1d(onsets_s)]


class LibrosaOnsets(HearingExtractor):
    """They are found whenever motion is looked at."""

    beside: ClassVar[str] = "motion"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("onsets_s", FLOATS, "when something begins to sound, as librosa finds it; s"),
    )
    sizes: ClassVar[Mapping[str, int]] = {"onsets_s": 1}

    @classmethod
    def missing(cls, name: str) -> str:
        """They come with the motion of the videos."""
        return "needs the motion of the videos: give --set extractors.motion.use=true"

    @classmethod
    def program(cls, name: str) -> Weights:
        """What the findings depend on."""
        return of_program(name, f"librosa {metadata.version('librosa')}")

    @classmethod
    def check(cls, weights: Weights) -> None:
        """It is a dependency."""

    @classmethod
    def opened(cls, weights: Weights, device: str) -> Self:
        """There is nothing to load."""
        return cls()

    def extract(self, sounds: Sequence[Pcm], protocol: Protocol) -> Mapping[str, pa.Array]:
        """Seconds from the start of each sound."""
        # Resampled as librosa does: a weak onset more or less is a tenth of a score.
        heard = [resample(protocol.mono(sound), sound.sample_rate, RATE) for sound in sounds]
        return {"onsets_s": pa.array([librosa_onsets(sound_T) for sound_T in heard], FLOATS)}


EXTRACTORS.add("librosa-onsets", LibrosaOnsets)
