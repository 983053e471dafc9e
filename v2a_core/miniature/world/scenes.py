"""Scenes drawn from a seed: a happening seen, a happening heard, a caption."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from v2a_core.miniature.world.captions import caption
from v2a_core.miniature.world.config import WorldSettings
from v2a_core.miniature.world.happenings import KINDS, UNRELATED, Happening

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Scene:
    """A happening seen and a happening heard, the same object unless the pair is noisy."""

    split: Split
    index: int
    seen: Happening
    heard: Happening
    caption: str
    audible: bool = True

    @property
    def kind(self) -> str:
        """The label: what is seen."""
        return self.seen.kind

    @property
    def noisy(self) -> bool:
        """Whether the sound does not belong to the picture."""
        return self.heard != self.seen

    @property
    def name(self) -> str:
        """A file name without suffix, unique within a seed."""
        return f"{self.kind.replace(' ', '-')}-{self.split}-{self.index:06d}"


def sample(settings: WorldSettings, split: Split, index: int) -> Scene:
    """Scene `index` of a split: the kinds take turns, the attributes are uniform, noisy pairs are in training only."""
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}, must be one of {', '.join(SPLITS)}")
    rng = np.random.default_rng([settings.seed, SPLITS.index(split), index])
    seen = _draw(KINDS[index % len(KINDS)], rng)
    others = [kind for kind in (*KINDS, UNRELATED, UNRELATED, UNRELATED) if kind != seen.kind]
    other = _draw(others[int(rng.integers(len(others)))], rng)
    noisy = bool(rng.random() < settings.noise_share) and split == "train"
    audible = bool(rng.random() >= settings.silent_share)
    return Scene(split, index, seen, other if noisy else seen, caption(seen, rng), audible)


def _draw(kind: str, rng: np.random.Generator) -> Happening:
    pitch, tempo, intensity = rng.random(3)
    return Happening(kind, float(pitch), float(tempo), float(intensity), int(rng.integers(2**63)))
