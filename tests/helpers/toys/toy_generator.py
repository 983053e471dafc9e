"""A generator of another package: a tone whose pitch says which number of the condition is the largest."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from v2a_core.config import setting
from v2a_core.generators.config import GeneratorSettings
from v2a_core.models.kinds import GENERATORS
from v2a_core.models.parts import Found, GeneratorWeights, Part
from v2a_core.models.sources import Finder
from v2a_core.protocols import Floats, Track

LOWEST_HZ, STEP_HZ = 200.0, 10.0
DIM = 512


class ToneSettings(GeneratorSettings):
    """What can be set."""

    kind: Literal["tones"] = setting("tones", "the generator, as the bundle names it")
    loudness: float = setting(0.5, "amplitude of a tone", gt=0, le=1)


class Tones:
    """Ready to make sound."""

    def __init__(self, sample_rate: int, settings: ToneSettings) -> None:
        self.sample_rate, self.loudness = sample_rate, settings.loudness
        self.seconds: Mapping[str, float] = {}

    def generate(self, conditions_BD: Floats, seeds: Sequence[int], duration_s: float) -> Floats:
        """A tone for each condition, float32 (B, samples)."""
        times_S = np.arange(round(duration_s * self.sample_rate)) / self.sample_rate
        pitches_B = LOWEST_HZ + STEP_HZ * conditions_BD.argmax(axis=1)
        waves_BS: Floats = (self.loudness * np.sin(2 * np.pi * pitches_B[:, None] * times_S)).astype(np.float32)
        return waves_BS

    def generate_tracks(self, tracks: Sequence[Track], overlap_s: float) -> Iterator[Floats]:
        """The tone of a track's first segment, for all of it."""
        for track in tracks:
            yield self.generate(track.conditions_ND[:1], track.seeds[:1], track.length_s)[0]

    def embed_text(self, texts: Sequence[str]) -> Floats:
        """A random direction a text, always the same."""
        sources = [np.random.default_rng(zlib.crc32(text.encode())) for text in texts]
        vectors_BD = np.array([source.normal(size=DIM) for source in sources], np.float32).reshape(-1, DIM)
        unit_BD: Floats = vectors_BD / np.linalg.norm(vectors_BD, axis=1, keepdims=True)
        return unit_BD


class ToneKind:
    """What a folder of it holds: a JSON with the sampling rate."""

    def find(self, source: GeneratorWeights, finder: Finder) -> Found:
        """Everything."""
        folder = finder.find(source.weights)
        return Found(folder, {"tones.json": folder / "tones.json"})

    def sample_rate(self, part: Part[GeneratorWeights]) -> int:
        """Hz."""
        return int(json.loads((part.path / "tones.json").read_text())["sample_rate"])

    def text_tower(self, part: Part[GeneratorWeights]) -> Path | None:
        """It has none."""
        return None

    def check(self, part: Part[GeneratorWeights]) -> None:
        """It must say its rate."""
        self.sample_rate(part)

    def load(self, part: Part[GeneratorWeights], settings: ToneSettings, device: str) -> Tones:
        """Ready to make sound."""
        return Tones(self.sample_rate(part), settings)

    def load_text(self, part: Part[GeneratorWeights], device: str) -> Tones:
        """The same object: it is small."""
        return Tones(self.sample_rate(part), ToneSettings())


GENERATORS.add("tones", ToneKind(), ToneSettings)
