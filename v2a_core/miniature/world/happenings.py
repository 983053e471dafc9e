"""What can happen in the small world: kinds of event, their attributes and times.

Picture and sound are both functions of a `Happening`, and share its event times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

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


def between(low: float, high: float, share: float) -> float:
    """Geometric interpolation: pitch and tempo are heard as ratios."""
    return float(low * (high / low) ** share)
