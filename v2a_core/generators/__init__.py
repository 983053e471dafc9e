"""Generators: from the embedding of a sound to the sound. One file or folder each, loaded only when used."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from v2a_core.generators.config import GeneratorSettings
from v2a_core.generators.windows import Track

Floats = npt.NDArray[np.float32]

# A generator's name in a model bundle -> the class that runs it.
GENERATORS = {"audioldm": "v2a_core.generators.audioldm:AudioLdmGenerator"}


class Generator(Protocol):
    """What every generator can do.

    Attributes:
        sample_rate: Rate of the waveforms, Hz.
    """

    sample_rate: int

    @property
    def null_embedding(self) -> Floats:
        """The condition that stands for "anything", float32 (D,), L2-normalised; guidance leads away from it."""

    def generate(self, conditions_BD: Floats, seeds: Sequence[int], duration_s: float) -> Floats:
        """Waveforms, float32 (B, round(duration_s * sample_rate)), -1..1; row i depends on (condition i, seed i) only.

        A row that could not be made is NaN, and costs none of its neighbours.
        """

    def generate_tracks(self, tracks: Sequence[Track], overlap_s: float) -> Iterator[Floats]:
        """The waveform of each track, float32 (round(length_s * sample_rate),); it depends on its track only.

        One that could not be made is NaN.
        """

    def embed_text(self, texts: Sequence[str]) -> Floats:
        """Conditions from text, float32 (B, D), L2-normalised."""


def load_generator(name: str, folder: str, settings: GeneratorSettings, device: str = "cpu") -> Generator:
    """A generator by its name.

    Args:
        name: A key of `GENERATORS`.
        folder: Local folder of its checkpoint.
        settings: How it samples.
        device: `cpu`, `cuda`, `cuda:1`, ...

    Raises:
        ValueError: For an unknown name, or a checkpoint that cannot be used.
    """
    if name not in GENERATORS:
        raise ValueError(f"no generator {name!r}; known: {', '.join(sorted(GENERATORS))}")
    module, _, attribute = GENERATORS[name].partition(":")
    return cast(Generator, getattr(importlib.import_module(module), attribute)(folder, settings, device))
