"""What all pictures share."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from v2a_core.miniature.world.canvas import Canvas
from v2a_core.miniature.world.look import Look, Moment

GROUND_Y = 0.84


class Picture(NamedTuple):
    """How a kind is drawn."""

    backdrop: Callable[[Canvas, Look], None]
    action: Callable[[Canvas, Look, Moment], None]


def floor(canvas: Canvas, look: Look, y: float = GROUND_Y) -> None:
    """Flat ground."""
    canvas.box(canvas.left - 0.1, y, canvas.right + 0.1, canvas.bottom + 0.1, look.ground)
