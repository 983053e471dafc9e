"""How attributes become visible, and where a moment lies among the events.

The same for every kind: pitch is size and colour, tempo is a number of marks, intensity is light and thickness.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from v2a_core.miniature.world.canvas import Colour
from v2a_core.miniature.world.happenings import Events, Happening, between


@dataclass(frozen=True)
class Look:
    """The fixed visual choices of a happening.

    Attributes:
        happening: What is shown.
        size: Factor on the size of the main object: 1.3 at pitch 0 to 0.6 at pitch 1.
        tint: Colour of pitch, warm for low and cool for high, as bright as the intensity.
        light: Brightness of what is lit, 0.3..1, from the intensity.
        thickness: Width of strokes in unit coordinates, from the intensity.
        x, y: Where the main object is, moved a little from the middle.
        sky, ground: Background colours, chance.
        mirrored: Whether the picture is flipped.
    """

    happening: Happening
    size: float
    tint: Colour
    light: float
    thickness: float
    x: float
    y: float
    sky: tuple[Colour, Colour]
    ground: Colour
    mirrored: bool

    @classmethod
    def of(cls, happening: Happening) -> Look:
        """The look of a happening; what no attribute decides comes from its seed."""
        rng = happening.rng("look")
        light = 0.3 + 0.7 * happening.intensity
        hue = 0.02 + 0.68 * happening.pitch
        sky_hue, ground_hue = rng.random(2)
        sky_light = rng.uniform(0.14, 0.30)
        return cls(
            happening=happening,
            size=between(1.3, 0.6, happening.pitch),
            tint=colour(hue, 0.75, 0.35 + 0.65 * light),
            light=light,
            thickness=0.010 + 0.016 * happening.intensity,
            x=0.5 + rng.uniform(-0.06, 0.06),
            y=rng.uniform(-0.03, 0.03),
            sky=(colour(sky_hue, 0.4, 0.5 * sky_light), colour(sky_hue + 0.05, 0.4, sky_light)),
            ground=colour(ground_hue, 0.3, 0.12 + 0.08 * rng.random()),
            mirrored=bool(rng.random() < 0.5),
        )

    def marks(self, few: int, many: int) -> int:
        """How many marks show the tempo."""
        return round(few + (many - few) * self.happening.tempo)

    def lit(self, base: Colour, share: float = 0.5) -> Colour:
        """A colour of the object, mixed with the tint of its pitch and dimmed by its intensity."""
        dim = 0.35 + 0.65 * self.light
        return mix(tuple3([part * dim for part in base]), self.tint, share)


@dataclass(frozen=True)
class Moment:
    """Where a time lies among the events.

    Attributes:
        time_s: Time since the start of the scene.
        number: How many events have been, at this time.
        since_s: Time since the last event; before the first one, since an imagined one before it.
        share: Share of the interval between the last and the next event that has passed, 0..1.
        interval_s: Length of that interval.
        pulse: Flash of light: jumps to its strength at an event and fades over a sixth of a second.
        recent_s: Ages of the last events, youngest first.
    """

    time_s: float
    number: int
    since_s: float
    share: float
    interval_s: float
    pulse: float
    recent_s: tuple[float, ...]

    @classmethod
    def at(cls, time_s: float, events: Events, mean_interval_s: float) -> Moment:
        """The moment `time_s` among `events`, which must reach beyond it."""
        number = int(np.searchsorted(events.times_s, time_s + 1e-9))
        next_s = float(events.times_s[number]) if number < len(events.times_s) else time_s + mean_interval_s
        last_s = float(events.times_s[number - 1]) if number else next_s - mean_interval_s
        since_s, interval_s = time_s - last_s, max(next_s - last_s, 1e-3)
        strength = float(events.strengths[number - 1]) if number else 0.0
        recent = time_s - events.times_s[max(0, number - 12) : number][::-1]
        return cls(
            time_s=time_s,
            number=number,
            since_s=since_s,
            share=min(max(since_s / interval_s, 0.0), 1.0),
            interval_s=interval_s,
            pulse=strength * float(np.exp(-since_s / 0.16)),
            recent_s=tuple(float(age) for age in recent),
        )


def colour(hue: float, saturation: float, value: float) -> Colour:
    """RGB from hue (cyclic), saturation and value in 0..1."""
    return colorsys.hsv_to_rgb(hue % 1.0, saturation, min(value, 1.0))


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`share` of the second colour in the first."""
    return tuple3([a + share * (b - a) for a, b in zip(first, second, strict=True)])


def tuple3(parts: list[float]) -> Colour:
    """Three parts as a colour."""
    red, green, blue = parts
    return red, green, blue
