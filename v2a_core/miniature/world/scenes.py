"""What happens in the small world: kinds of event, their attributes and times, and scenes drawn from a seed.

A `Happening` is one kind of sound event with its attributes; picture and sound are both functions of it, and share
its event times. A `Scene` is what a camera with a microphone caught: a happening seen, a happening heard (the same
one, but for noisy pairs), a caption.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from v2a_core.miniature.world.config import WorldSettings

FloatArray = npt.NDArray[np.float64]
Split = Literal["train", "validation", "test"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
UNRELATED = "music"  # heard in some noisy pairs; no picture shows it


class Rhythm(NamedTuple):
    """When the events of a kind come: rates at tempo 0 and 1 in events a second, and how unevenly."""

    slow_hz: float
    fast_hz: float
    unevenness: float  # 0: a metronome; 1: intervals between 0 and twice the mean


RHYTHMS: dict[str, Rhythm] = {
    "rain": Rhythm(3.0, 14.0, 0.9),  # single drops that are heard over the hiss
    "siren": Rhythm(0.8, 4.0, 0.0),  # changes between the two tones
    "bouncing ball": Rhythm(1.1, 4.0, 0.0),  # bounces; the pattern of a falling ball is made in `events`
    "bell": Rhythm(0.5, 2.6, 0.05),  # strokes of the clapper
    "engine": Rhythm(2.5, 9.0, 0.03),  # chugs
    "birds": Rhythm(1.2, 6.0, 0.5),  # chirps
    "clock": Rhythm(1.0, 5.0, 0.0),  # ticks
    "fire": Rhythm(4.0, 20.0, 0.95),  # crackles
    "waves": Rhythm(0.3, 1.3, 0.15),  # breakers
    "drum": Rhythm(1.2, 6.0, 0.03),  # strokes
    "laser": Rhythm(1.0, 6.0, 0.15),  # shots
    "wind": Rhythm(0.35, 1.5, 0.2),  # gusts
    UNRELATED: Rhythm(2.0, 4.0, 0.0),  # notes
}
KINDS: tuple[str, ...] = tuple(kind for kind in RHYTHMS if kind != UNRELATED)

# A dropped ball: each bounce takes this share of the time of the one before, until somebody drops it again.
_BOUNCE_SHRINK = 0.8
_BOUNCES_PER_DROP = 6


class Events(NamedTuple):
    """Times in seconds, ascending, and strengths in 0..1; both float64 (K,)."""

    times_s: FloatArray
    strengths: FloatArray


@dataclass(frozen=True)
class Happening:
    """One kind of sound event.

    Attributes:
        kind: One of `KINDS` (or `UNRELATED`, which is only heard).
        pitch: 0 (low; large, warm in colour) to 1 (high; small, cool).
        tempo: 0 (slow; few marks) to 1 (fast; many).
        intensity: 0 (soft; dim, thin) to 1 (loud; bright, thick).
        seed: Everything else: jitter of the times, position, colours, noise.
    """

    kind: str
    pitch: float
    tempo: float
    intensity: float
    seed: int

    def rng(self, stream: str) -> np.random.Generator:
        """Independent randomness for one use."""
        return np.random.default_rng([self.seed, *stream.encode()])

    @property
    def rate_hz(self) -> float:
        """Mean number of events a second."""
        rhythm = RHYTHMS[self.kind]
        return between(rhythm.slow_hz, rhythm.fast_hz, self.tempo)

    def events(self, length_s: float) -> Events:
        """Events in 0 <= time < `length_s`. A longer time adds events at the end and changes none before."""
        # Every interval is drawn in order from its own stream: that is what makes a longer list extend a shorter.
        count = int(length_s * self.rate_hz * 4) + 16
        intervals_s = np.full(count, 1 / self.rate_hz)
        if self.kind == "bouncing ball":
            pattern = _BOUNCE_SHRINK ** np.arange(_BOUNCES_PER_DROP)
            intervals_s *= np.resize(pattern / pattern.mean(), count)
        jitter = self.rng("times").uniform(-1, 1, count)
        intervals_s *= 1 + RHYTHMS[self.kind].unevenness * jitter
        first_s = self.rng("phase").uniform(0.1, 0.9) / self.rate_hz
        times_s = first_s + np.concatenate([[0.0], np.cumsum(intervals_s[:-1])])
        strengths = self.rng("strengths").uniform(0.6, 1.0, count)
        if self.kind == "bouncing ball":
            strengths = np.resize(_BOUNCE_SHRINK ** np.arange(_BOUNCES_PER_DROP), count)
        keep = times_s < length_s
        return Events(times_s[keep], strengths[keep])


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


def between(low: float, high: float, share: float) -> float:
    """Geometric interpolation: pitch and tempo are heard as ratios."""
    return float(low * (high / low) ** share)


def sample(settings: WorldSettings, split: Split, index: int) -> Scene:
    """Scene `index` of a split: the kinds take turns, the attributes are uniform, noisy pairs are in training only."""
    from v2a_core.miniature.world.captions import caption

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
