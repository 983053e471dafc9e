"""Weather, animals and elements: rain, birds, fire, waves, wind."""

from __future__ import annotations

import itertools

import numpy as np

from v2a_core.miniature.world.canvas import Canvas
from v2a_core.miniature.world.look import Look, Moment, mix
from v2a_core.miniature.world.pictures.base import GROUND_Y, floor, row_of_marks

_WHITE = (1.0, 1.0, 1.0)
_STONE = (0.7, 0.68, 0.66)


def rain_backdrop(canvas: Canvas, look: Look) -> None:
    """A cloud over wet ground."""
    floor(canvas, look)
    grey = look.lit((0.62, 0.66, 0.72), 0.15)
    for dx, dy, rx, ry in ((-0.2, 0.02, 0.17, 0.08), (0.2, 0.03, 0.16, 0.07), (0.0, -0.02, 0.2, 0.11)):
        canvas.ellipse(look.x + dx, 0.14 + look.y + dy, rx, ry, grey)


def rain(canvas: Canvas, look: Look, moment: Moment) -> None:
    """Streaks: as many as the tempo wants, long and thick when low. A drop that is heard splashes."""
    count = look.marks(10, 64)
    rng = look.happening.rng("streaks")
    start, column = rng.random(count), rng.uniform(canvas.left, canvas.right, count)
    speed = rng.uniform(0.9, 1.2, count)
    length = 0.09 * look.size**1.5
    y = 0.2 + (GROUND_Y - 0.22) * ((start + speed * moment.time_s) % 1.0) + 0 * column
    x = column - 0.12 * (y - 0.5)
    ends = np.stack([x, y, x - 0.12 * length, y + length * 0.8], axis=1)
    canvas.strokes(ends, look.thickness * look.size, look.lit((0.75, 0.88, 1.0), 0.6))
    for back, age_s in enumerate(moment.recent_s[:4]):
        if age_s < 0.35:
            x0 = look.happening.rng(f"splash{moment.number - back}").uniform(0.12, 0.88)
            fade = (1 - age_s / 0.35) * look.light
            grow = 0.02 + 0.25 * age_s * look.size
            canvas.ring(x0, GROUND_Y + 0.05, grow, grow * 0.4, look.thickness, _WHITE, fade)
            canvas.glow(x0, GROUND_Y, 0.16, look.tint, fade if age_s < 0.12 else 0.0)


def birds_backdrop(canvas: Canvas, look: Look) -> None:
    """A wire between two poles, and a far hill."""
    canvas.ellipse(0.75, 1.02, 0.7, 0.2, look.ground)
    wood = (0.32, 0.24, 0.18)
    for x in (0.06, 0.94):
        canvas.box(x - 0.015, 0.42, x + 0.015, 0.97, wood)
    canvas.line(canvas.left, 0.60 + look.y, canvas.right, 0.60 + look.y, 0.012, (0.5, 0.5, 0.52))


def birds(canvas: Canvas, look: Look, moment: Moment) -> None:
    """Birds on the wire, more of them in a faster song; they sing in turn."""
    count = look.marks(1, 8)
    radius = min(0.085 * look.size, 0.36 / count)
    singer = look.happening.rng("order").permutation(count)[(moment.number - 1) % count]
    feathers = look.lit((0.85, 0.75, 0.5), 0.65)
    for bird in range(count):
        x = 0.5 + (bird - (count - 1) / 2) * min(0.8 / count, 0.22)
        sings = bird == singer and moment.number > 0
        y = 0.60 + look.y - radius * (1 + (0.45 * moment.pulse if sings else 0.0))
        canvas.polygon(
            [(x - 2.1 * radius, y + 0.5 * radius), (x - 0.6 * radius, y - 0.3 * radius), (x, y + 0.6 * radius)],
            feathers,
        )
        canvas.ellipse(x, y, 1.1 * radius, 0.85 * radius, feathers)
        canvas.disc(x + 0.8 * radius, y - 0.75 * radius, 0.55 * radius, feathers)
        gape = 0.35 * radius * moment.pulse if sings else 0.05 * radius
        beak_x, beak_y = x + 1.25 * radius, y - 0.75 * radius
        canvas.polygon(
            [(beak_x, beak_y - 0.2 * radius), (beak_x + 0.7 * radius, beak_y - gape), (beak_x, beak_y)],
            (0.95, 0.6, 0.1),
        )
        canvas.polygon(
            [(beak_x, beak_y), (beak_x + 0.7 * radius, beak_y + gape), (beak_x, beak_y + 0.2 * radius)],
            (0.95, 0.6, 0.1),
        )
        if sings:
            radii = [radius * (1.3 + 0.7 * ring + 2 * moment.since_s) for ring in range(3)]
            fade = moment.pulse
            canvas.arcs(beak_x, beak_y, radii, (-0.6,), spread=0.5, width=look.thickness, colour=look.tint, alpha=fade)
            canvas.glow(beak_x, beak_y, 0.16, look.tint, look.light * moment.pulse)


def fire_backdrop(canvas: Canvas, look: Look) -> None:
    """Logs on the ground, behind as many stones as the tempo wants."""
    floor(canvas, look)
    row_of_marks(canvas, look.marks(2, 12), GROUND_Y + 0.08, GROUND_Y + 0.13, _STONE)
    bark = (0.36, 0.22, 0.13)
    for side in (-1, 1):
        canvas.strokes(
            np.array([[look.x - side * 0.2, GROUND_Y + 0.03, look.x + side * 0.18, GROUND_Y - 0.05]]), 0.055, bark
        )


def fire(canvas: Canvas, look: Look, moment: Moment) -> None:
    """Tongues of flame, tall when low; embers as many as the tempo wants; a spark flies at each crackle."""
    rng = look.happening.rng("flames")
    base_y = GROUND_Y - 0.03
    canvas.glow(look.x, base_y - 0.15, 0.5, look.tint, 0.5 * look.light + 0.4 * look.light * moment.pulse)
    phases = rng.uniform(0, 6.28, 5)
    for layer, (share, width) in enumerate(((1.0, 0.6), (0.7, 0.38), (0.42, 0.2))):
        hot = mix(mix((1.0, 0.35, 0.05), (1.0, 0.95, 0.6), layer / 2), look.tint, 0.5)
        dim = 0.45 + 0.55 * look.light
        for tongue, offset in enumerate((-0.13, 0.13, 0.0)):
            flicker = (
                1
                + 0.16 * np.sin(11 * moment.time_s + phases[tongue])
                + 0.1 * np.sin(17 * moment.time_s + phases[tongue + 2])
            )
            height = 0.36 * look.size * share * flicker * (1.25 if offset == 0 else 0.8)
            half, x = 0.26 * width * min(look.size, 1.1) * (1 if offset == 0 else 0.8), look.x + offset * look.size
            lean = 0.03 * np.sin(7 * moment.time_s + phases[tongue])
            flame = (dim * hot[0], dim * hot[1], dim * hot[2])
            canvas.ellipse(x, base_y - half * 0.8, half, half, flame)
            canvas.polygon(
                [(x + lean, base_y - height), (x + half * 0.93, base_y - half), (x - half * 0.93, base_y - half)], flame
            )
    _embers(canvas, look, moment, base_y)


def _embers(canvas: Canvas, look: Look, moment: Moment, base_y: float) -> None:
    count = look.marks(3, 36)
    rng = look.happening.rng("embers")
    x = look.x + rng.uniform(-0.4, 0.4, count) * np.sqrt(rng.random(count))
    rise = (rng.random(count) + rng.uniform(0.2, 0.5, count) * moment.time_s) % 1.0
    y = base_y - 0.1 - 0.65 * rise
    x = x + 0.03 * np.sin(5 * moment.time_s + 9 * rise)
    ember = mix((1.0, 0.75, 0.3), look.tint, 0.3)
    canvas.strokes(np.stack([x, y, x, y - 0.012], axis=1), 0.8 * look.thickness, ember)
    if moment.recent_s and moment.since_s < 0.3:
        spray = look.happening.rng(f"spark{moment.number}").uniform(-1, 1, 5)
        reach, out = 0.06 + 0.7 * moment.since_s, 0.05
        sx, sy = look.x + spray * reach, base_y - 0.15 - reach * (1.2 - np.abs(spray))
        ends = np.stack([sx, sy, sx + out * spray, sy - out * (1.2 - np.abs(spray))], axis=1)
        canvas.strokes(ends, look.thickness, _WHITE, moment.pulse)


def waves_backdrop(canvas: Canvas, look: Look) -> None:
    """A moon over the sea."""
    canvas.disc(look.x + 0.2, 0.17 + look.y, 0.07, (0.85, 0.85, 0.78))


def waves(canvas: Canvas, look: Look, moment: Moment) -> None:
    """Rows of crests, close together when fast and high when low; foam flies when one breaks on the beach."""
    crests = 1.5 + 7.0 * look.happening.tempo
    x = canvas.columns
    phase = look.happening.rng("sea").uniform(0, 6.28)
    height = 0.055 * look.size**1.6 * (0.75 + 0.5 * moment.pulse)
    for row in range(3):
        travel = 2 * np.pi * (moment.number + moment.share) * (0.5 + 0.25 * row)
        curve = np.abs(np.sin(np.pi * crests * x + travel / 2 + phase + 2.1 * row))
        surface = 0.42 + 0.15 * row + look.y + height * (1 + 0.4 * row) * (1 - 2 * curve)
        water = look.lit((0.12, 0.34, 0.55), 0.45)
        shade = 0.75 + 0.22 * row
        canvas.below((surface - look.thickness * 1.2).astype(np.float32), mix(water, _WHITE, 0.35 + 0.4 * look.light))
        canvas.below(surface.astype(np.float32), (water[0] * shade, water[1] * shade, water[2] * shade))
    shore = 0.88 + 0.05 * moment.share - 0.04 * moment.pulse + 0.012 * np.sin(9 * x + phase)
    canvas.below((shore - 0.035 * look.light - 0.05 * moment.pulse).astype(np.float32), _WHITE)
    canvas.below(shore.astype(np.float32), (0.55, 0.47, 0.33))
    if moment.number:
        canvas.glow(0.5, 0.8, 0.45, _WHITE, 0.8 * look.light * moment.pulse)


def wind_backdrop(canvas: Canvas, look: Look) -> None:
    """A hill."""
    canvas.ellipse(0.35, 1.08, 0.75, 0.27, look.ground)


def wind(canvas: Canvas, look: Look, moment: Moment) -> None:
    """Wavy streaks, many when gusts are frequent, wide when low; a tree bends and leaves fly with each gust."""
    gust = (
        min(moment.since_s / 0.18, 1.0) * float(np.exp(-moment.since_s * look.happening.rate_hz))
        if moment.number
        else 0.1
    )
    root_x, root_y, lean = 0.3, 0.83, 0.05 + 0.22 * gust
    trunk = [(root_x + lean * k * k / 16, root_y - 0.08 * k) for k in range(5)]
    ends = np.array([[*a, *b] for a, b in itertools.pairwise(trunk)])
    canvas.strokes(ends, 0.035, (0.4, 0.28, 0.18))
    top_x, top_y = trunk[-1]
    for dx, dy, radius in ((0.0, 0.02, 0.12), (0.09 + 0.1 * gust, -0.03, 0.085), (-0.05 + 0.1 * gust, -0.07, 0.08)):
        canvas.disc(top_x + dx, top_y + dy, radius, (0.16, 0.36 + 0.1 * look.light, 0.2))
    count = look.marks(2, 11)
    rng = look.happening.rng("streaks")
    starts, offsets = rng.random(count), rng.uniform(-0.3, 0.3, count)
    swing, wavelength = 0.02 * look.size**1.8, 0.34 * look.size**1.3
    x = np.linspace(canvas.left, canvas.right, 25)
    strokes, alphas = [], []
    for k in range(count):
        travelled = starts[k] + (0.35 + 0.3 * look.happening.tempo) * moment.time_s
        y = 0.1 + 0.72 * (k + 0.5 + offsets[k]) / count + swing * np.sin(2 * np.pi * (x / wavelength - 2 * travelled))
        strokes.append(np.stack([x[:-1], y[:-1], x[1:], y[1:]], axis=1))
        gleam = np.sin(np.pi * (x[:-1] - travelled)) ** 2  # a bright stretch that runs along the streak
        alphas.append((0.25 + 0.75 * gleam) * (0.45 + 0.55 * gust))
    canvas.strokes(
        np.concatenate(strokes),
        look.thickness,
        look.lit((0.85, 0.93, 0.95), 0.6),
        np.concatenate(alphas).astype(np.float32),
    )
    canvas.glow(0.55, 0.4, 0.5, look.tint, 0.6 * look.light * gust)
