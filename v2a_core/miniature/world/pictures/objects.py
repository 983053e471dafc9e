"""Things that people make: siren, ball, bell, engine, clock, drum, laser."""

from __future__ import annotations

import numpy as np

from v2a_core.miniature.world.canvas import Canvas
from v2a_core.miniature.world.look import Look, Moment, mix
from v2a_core.miniature.world.pictures.base import GROUND_Y, floor, row_of_marks

_WHITE = (1.0, 1.0, 1.0)
_METAL = (0.55, 0.58, 0.62)
_CHALK = (0.85, 0.85, 0.8)


def siren_backdrop(canvas: Canvas, look: Look) -> None:
    """A car seen from the front, on a road with as many marks as the tempo wants."""
    floor(canvas, look)
    row_of_marks(canvas, look.marks(2, 12), 0.945, 0.985, _CHALK)
    y = 0.62 + look.y
    body = (0.75, 0.77, 0.8)
    for side in (-1, 1):
        canvas.box(
            look.x + side * 0.2 - 0.05, y + 0.18, look.x + side * 0.2 + 0.05, y + 0.3, (0.06, 0.06, 0.07), round_=0.02
        )
    canvas.polygon(
        [(look.x - 0.17, y - 0.06), (look.x + 0.17, y - 0.06), (look.x + 0.25, y + 0.1), (look.x - 0.25, y + 0.1)], body
    )
    canvas.polygon(
        [(look.x - 0.14, y - 0.03), (look.x + 0.14, y - 0.03), (look.x + 0.19, y + 0.08), (look.x - 0.19, y + 0.08)],
        (0.1, 0.13, 0.18),
    )
    canvas.box(look.x - 0.28, y + 0.08, look.x + 0.28, y + 0.25, body, round_=0.04)
    for side in (-1, 1):
        canvas.disc(look.x + side * 0.2, y + 0.16, 0.035, (0.95, 0.93, 0.75))


def siren(canvas: Canvas, look: Look, moment: Moment) -> None:
    """Two lamps that take turns with the two tones; arcs of sound, close together when fast."""
    y = 0.56 + look.y
    radius = 0.075 * look.size
    lit_side = 1 if moment.number % 2 else -1
    for side in (-1, 1):
        x = look.x + side * 0.11
        lit = side == lit_side
        lamp = look.tint if lit else mix(look.tint, (0.1, 0.1, 0.12), 0.75)
        canvas.box(x - radius, y - 1.5 * radius, x + radius, y, lamp, round_=0.45 * radius)
        if lit:
            canvas.glow(x, y - radius, 0.26, look.tint, look.light * (0.35 + 0.65 * moment.pulse))
    count = look.marks(1, 7)
    radii = [0.16 + 0.36 * (k + moment.share) / count for k in range(count)]
    fade = 0.35 + 0.65 * moment.pulse
    sides = (-0.75, -np.pi + 0.75)
    canvas.arcs(look.x, y, radii, sides, spread=0.5, width=look.thickness, colour=look.tint, alpha=fade)


def ball_backdrop(canvas: Canvas, look: Look) -> None:
    """A floor with marks: their spacing is the rhythm of the bounces."""
    floor(canvas, look)
    row_of_marks(canvas, look.marks(2, 12), GROUND_Y + 0.05, GROUND_Y + 0.12, _CHALK)


def ball(canvas: Canvas, look: Look, moment: Moment) -> None:
    """It flies in parabolas and touches the floor at the events; it is large when low."""
    radius = 0.105 * look.size
    rise = min(0.56, 0.9 * moment.interval_s**1.2 + 0.05)
    height = rise * 4 * moment.share * (1 - moment.share)
    squash = 1 - 0.35 * float(np.exp(-min(height, 0.2) / 0.015))
    x, y = look.x, GROUND_Y - radius * squash - height
    shadow = 0.7 - 0.5 * min(height / 0.5, 1)
    canvas.ellipse(x, GROUND_Y + 0.015, radius * (1.1 - 0.6 * height), 0.02, (0.02, 0.02, 0.03), shadow)
    canvas.ellipse(x, y, radius / squash, radius * squash, look.lit((0.9, 0.4, 0.3), 0.8))
    canvas.ellipse(x - 0.35 * radius, y - 0.35 * radius, 0.25 * radius, 0.2 * radius, _WHITE, 0.4 + 0.6 * look.light)
    if moment.number:
        reach, fade = [radius + 0.06 + 0.6 * moment.since_s], moment.pulse * look.light
        sides = (-0.35, -np.pi + 0.35)
        canvas.arcs(x, GROUND_Y, reach, sides, spread=0.35, width=look.thickness, colour=_WHITE, alpha=fade)
        canvas.glow(x, GROUND_Y, 0.3, look.tint, look.light * moment.pulse)


def bell_backdrop(canvas: Canvas, look: Look) -> None:
    """The beam and posts that a bell hangs from; as many pegs on the beam as the tempo wants."""
    floor(canvas, look, 0.9)
    wood = (0.35, 0.25, 0.17)
    canvas.box(0.1, 0.12 + look.y, 0.9, 0.18 + look.y, wood)
    for x in (0.12, 0.88):
        canvas.box(x - 0.025, 0.12 + look.y, x + 0.025, 0.93, wood)
    row_of_marks(canvas, look.marks(2, 12), 0.065 + look.y, 0.125 + look.y, _CHALK)


def bell(canvas: Canvas, look: Look, moment: Moment) -> None:
    """It swings to one side and the other and is struck at the turn; echoes stand beside it, more when fast."""
    side = 1 if moment.number % 2 else -1
    angle = side * 0.33 * float(np.cos(np.pi * moment.share))
    s, top_y = 0.26 * look.size, 0.17 + look.y
    brass = look.lit((0.9, 0.7, 0.25), 0.6)

    def turn(u: float, v: float) -> tuple[float, float]:
        return look.x + s * (u * np.cos(angle) - v * np.sin(angle)), top_y + s * (u * np.sin(angle) + v * np.cos(angle))

    clapper = turn(0.35 * side * float(np.cos(np.pi * moment.share)), 1.75)
    canvas.disc(*clapper, 0.16 * s, (0.25, 0.22, 0.2))
    canvas.polygon(
        [turn(*p) for p in ((-0.3, 0.25), (0.3, 0.25), (0.55, 0.6), (0.62, 1.1), (-0.62, 1.1), (-0.55, 0.6))], brass
    )
    canvas.polygon([turn(*p) for p in ((-0.62, 1.05), (0.62, 1.05), (0.95, 1.55), (-0.95, 1.55))], brass)
    canvas.disc(*turn(0, 0.25), 0.3 * s, brass)
    canvas.strokes(np.array([[*turn(-0.9, 1.5), *turn(0.9, 1.5)]]), 0.13 * s, mix(brass, _WHITE, 0.3))
    middle = turn(0, 1.0)
    count = look.marks(1, 6)
    inner = min(0.25 * look.size + 0.03, 0.33)
    radii = [inner + (0.49 - inner) * (k + 0.5) / count for k in range(count)]
    fade = 0.3 + 0.7 * moment.pulse
    canvas.arcs(*middle, radii, (0.0, np.pi), spread=0.45, width=look.thickness, colour=look.tint, alpha=fade)
    if moment.number:
        canvas.glow(*middle, 0.36, look.tint, look.light * moment.pulse)


def engine_backdrop(canvas: Canvas, look: Look) -> None:
    """A tractor on the ground: bonnet, cab, and slots that number its tempo."""
    floor(canvas, look)
    paint = look.lit((0.3, 0.55, 0.3), 0.75)
    canvas.box(0.16, 0.36 + look.y, 0.44, 0.74, paint, round_=0.02)
    canvas.box(0.2, 0.4 + look.y, 0.4, 0.54, (0.6, 0.75, 0.85), round_=0.015)
    canvas.box(0.42, 0.54, 0.86, 0.76, paint, round_=0.02)
    count = look.marks(2, 9)
    for k in range(count):
        x = 0.46 + 0.36 * (k + 0.5) / count
        canvas.box(x - 0.009, 0.585, x + 0.009, 0.67, (0.05, 0.05, 0.06))


def engine(canvas: Canvas, look: Look, moment: Moment) -> None:
    """Wheels that turn, a chimney as wide as the engine is low, a puff of smoke at each chug."""
    turned = (moment.number + moment.share) * 0.9
    rear, front = 0.15, 0.095
    for x, radius in ((0.28, rear), (0.76, front)):
        y = GROUND_Y + 0.03 - radius
        canvas.disc(x, y, radius, (0.07, 0.07, 0.08))
        canvas.disc(x, y, 0.55 * radius, _METAL)
        angles = turned * (rear / radius) + np.arange(3) * np.pi / 3
        spokes = 0.5 * radius * np.stack([np.cos(angles), np.sin(angles), -np.cos(angles), -np.sin(angles)], axis=1)
        canvas.strokes(spokes + np.array([x, y, x, y]), 0.014, (0.1, 0.1, 0.12))
    half, shake = 0.035 * look.size, 0.012 * moment.pulse
    canvas.box(0.7 - half, 0.40 - shake, 0.7 + half, 0.56, look.lit(_METAL, 0.5))
    smoke = mix(look.tint, _WHITE, 0.35)
    for age_s in reversed(moment.recent_s[:7]):
        if age_s < 1.1:
            grow = (0.035 + 0.075 * age_s) * look.size
            canvas.disc(
                0.7 - 0.22 * age_s, 0.37 - 0.32 * age_s, grow, smoke, (0.3 + 0.7 * look.light) * (1 - age_s / 1.1)
            )
    if moment.number:
        canvas.glow(0.7, 0.38, 0.22, look.tint, look.light * moment.pulse)


def clock_backdrop(canvas: Canvas, look: Look) -> None:
    """A dial with as many marks as the tempo wants, in a wooden case with a pendulum below."""
    canvas.box(look.x - 0.32, 0.06, look.x + 0.32, 0.95, (0.34, 0.22, 0.14), round_=0.04)
    canvas.box(look.x - 0.2, 0.64, look.x + 0.2, 0.92, (0.08, 0.06, 0.05), round_=0.02)
    radius = 0.2 * look.size**0.6
    canvas.disc(look.x, 0.36, radius + 0.03, look.lit((0.8, 0.65, 0.3), 0.8))
    canvas.disc(look.x, 0.36, radius, (0.25 + 0.68 * look.light, 0.25 + 0.66 * look.light, 0.24 + 0.58 * look.light))
    angles = 2 * np.pi * np.arange(look.marks(4, 16)) / look.marks(4, 16)
    direction = np.stack([np.sin(angles), -np.cos(angles)], axis=1)
    ends = np.concatenate([0.76 * radius * direction, 0.93 * radius * direction], axis=1)
    canvas.strokes(ends + np.array([look.x, 0.36, look.x, 0.36]), 0.018, (0.08, 0.07, 0.07))


def clock(canvas: Canvas, look: Look, moment: Moment) -> None:
    """The hand jumps at each tick, the pendulum turns back."""
    count, radius = look.marks(4, 16), 0.2 * look.size**0.6
    jump = 1 - float(np.exp(-moment.since_s / 0.02)) if moment.number else 1.0
    angle = 2 * np.pi * (moment.number - 1 + jump) / count
    tip = (look.x + 0.72 * radius * np.sin(angle), 0.36 - 0.72 * radius * np.cos(angle))
    canvas.line(look.x, 0.36, *tip, look.thickness * 1.2, (0.6, 0.08, 0.08))
    canvas.line(look.x, 0.36, look.x - 0.1 * look.size, 0.36 - 0.06, look.thickness * 1.6, (0.1, 0.1, 0.12))
    canvas.disc(look.x, 0.36, 0.02, (0.1, 0.1, 0.12))
    swing = (1 if moment.number % 2 else -1) * 0.5 * float(np.cos(np.pi * moment.share))
    bob = (look.x + 0.24 * np.sin(swing), 0.62 + 0.22 * np.cos(swing))
    canvas.line(look.x, 0.62, *bob, 0.012, _METAL)
    canvas.disc(*bob, 0.05 * look.size**0.5, look.lit((0.9, 0.75, 0.3), 0.6))
    if moment.number:
        canvas.glow(look.x, 0.36, radius + 0.16, mix(look.tint, _WHITE, 0.3), 0.9 * look.light * moment.pulse)


def _drum_body(look: Look) -> tuple[float, float, float, float]:
    """x, y of the skin's middle, and its half width and half height."""
    half = 0.27 * look.size
    return look.x, 0.86 - 0.9 * half, half, 0.32 * half


def drum_backdrop(canvas: Canvas, look: Look) -> None:
    """A shell with laces in zigzag, closer together when fast."""
    floor(canvas, look, 0.8)
    x, y, rx, ry = _drum_body(look)
    shell, bottom = look.lit((0.7, 0.2, 0.2), 0.8), y + 0.85 * rx
    canvas.ellipse(x, bottom, rx, ry, shell)
    canvas.box(x - rx, y, x + rx, bottom, shell)
    count = look.marks(3, 15)
    corners = np.linspace(-0.95, 0.95, count + 1)
    tops = np.where(np.arange(count + 1) % 2 == 0, y + 0.05, bottom)
    points = np.stack([x + rx * corners, tops + ry * np.sqrt(1 - corners**2)], axis=1)
    canvas.strokes(np.concatenate([points[:-1], points[1:]], axis=1), 0.014, (0.92, 0.88, 0.75))


def drum(canvas: Canvas, look: Look, moment: Moment) -> None:
    """Two sticks in turn; the skin flashes and rings spread when one hits."""
    x, y, rx, ry = _drum_body(look)
    skin = 0.35 + 0.6 * look.light
    canvas.ellipse(x, y, rx, ry, (skin, 0.95 * skin, 0.82 * skin))
    if moment.number:
        grow = min(0.25 + 2.5 * moment.since_s, 0.95)
        canvas.ring(x, y, rx * grow, ry * grow, look.thickness, look.tint, moment.pulse)
        canvas.glow(x, y, 0.34, look.tint, look.light * moment.pulse)
    for side in (-1, 1):
        hits_next = (moment.number % 2 == 0) == (side == 1)
        away = moment.share if not hits_next else 1 - moment.share
        lift = float(np.clip(away, 0, 1)) ** 0.7
        tip = (x + side * 0.3 * rx, y - 0.02 - 0.26 * lift)
        canvas.line(*tip, tip[0] + side * 0.25, tip[1] - 0.16, 0.022, (0.85, 0.7, 0.45))
        canvas.disc(*tip, 0.024, (0.9, 0.78, 0.55))


def laser_backdrop(canvas: Canvas, look: Look) -> None:
    """A turret under the stars."""
    stars = look.happening.rng("stars").random((24, 2))
    x = canvas.left + stars[:, 0] * (canvas.right - canvas.left)
    y = stars[:, 1] * 0.8
    canvas.strokes(np.stack([x, y, x, y], axis=1), 0.008, (0.6, 0.6, 0.65))
    floor(canvas, look, 0.9)
    canvas.polygon([(0.06, 0.92), (0.12, 0.6), (0.28, 0.6), (0.34, 0.92)], (0.42, 0.44, 0.5))
    count = look.marks(1, 7)
    for k in range(count):
        y0 = 0.88 - 0.26 * (k + 0.5) / count
        canvas.box(0.14, y0 - 0.011, 0.26, y0 + 0.011, look.tint)


def laser(canvas: Canvas, look: Look, moment: Moment) -> None:
    """A bolt for each shot, thick when low; many in the air when fast."""
    aim = -0.42 + 0.12 * float(np.sin(0.8 * moment.time_s + look.y * 50))
    dx, dy = np.cos(aim), np.sin(aim)
    base_x, base_y = 0.2, 0.55 + look.y
    muzzle = (base_x + 0.2 * dx, base_y + 0.2 * dy)
    width = 0.035 * look.size**1.4 + 0.4 * look.thickness
    tails = 0.03 + 0.5 * np.array([age_s for age_s in moment.recent_s if age_s < 2.0])
    along = np.array([dx, dy])
    ends = np.concatenate([tails[:, None] * along, (tails[:, None] + 0.1 * look.size) * along], axis=1)
    ends += np.array([*muzzle, *muzzle])
    canvas.strokes(ends, width, look.tint)
    canvas.strokes(ends, 0.35 * width, mix(look.tint, _WHITE, 0.75 * look.light))
    canvas.line(base_x, base_y, *muzzle, 0.075, _METAL)
    canvas.disc(base_x, base_y, 0.09, (0.5, 0.52, 0.58))
    if moment.number:
        canvas.glow(*muzzle, 0.24, mix(look.tint, _WHITE, 0.3), look.light * moment.pulse)
