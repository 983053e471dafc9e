"""What all pictures share."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from v2a_core.miniature.world.canvas import Canvas, Colour
from v2a_core.miniature.world.look import Look, Moment

GROUND_Y = 0.84


class Picture(NamedTuple):
    """How a kind is drawn."""

    backdrop: Callable[[Canvas, Look], None]
    action: Callable[[Canvas, Look, Moment], None]


def floor(canvas: Canvas, look: Look, y: float = GROUND_Y) -> None:
    """Flat ground."""
    canvas.box(canvas.left - 0.1, y, canvas.right + 0.1, canvas.bottom + 0.1, look.ground)


def row_of_marks(canvas: Canvas, count: int, y0: float, y1: float, colour: Colour) -> None:
    """Upright marks side by side over the whole width: a number that one frame shows, at any time."""
    for k in range(count):
        x = 0.08 + 0.84 * (k + 0.5) / count
        canvas.box(x - 0.013, y0, x + 0.013, y1, colour)
