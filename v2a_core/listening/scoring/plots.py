"""Plots of a scored test: mean opinion scores, and just meaningful differences as in the paper's figure 5."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from v2a_core.listening.questions import LABELS, POINTS
from v2a_core.listening.scoring.measure import Answered
from v2a_core.listening.scoring.scored import Scored

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OPINIONS_FILE, DIFFERENCES_FILE = "opinions.png", "figure-5.png"
_COLOUR, _OURS = "#4b4470", "#b5367a"


def draw_opinions(scored: Scored) -> bytes | None:
    """Mean opinion scores with their intervals, as a PNG; None without any."""
    answered = [found for found in scored.answered if found.opinions]
    if not answered:
        return None
    figure, axes = _panels(answered, len(scored.key.systems))
    for ax, found in zip(axes, answered, strict=True):
        values = np.array([[score.mean, score.low, score.high] for score in found.opinions])
        _draw(ax, values, scored)
        ax.set(title=f"{found.question}: mean opinion score", xlim=(0.9, POINTS + 0.1))
        ax.set_xticks(range(1, POINTS + 1), [f"{point}\n{label}" for point, label in enumerate(LABELS, start=1)])
    return _png(figure)


def draw_differences(scored: Scored) -> bytes | None:
    """Just meaningful differences from ours with their intervals, as a PNG; None without any."""
    answered = [found for found in scored.answered if found.differences is not None]
    if not answered:
        return None
    figure, axes = _panels(answered, len(scored.key.systems))
    name = scored.key.systems[scored.ours]
    for ax, found in zip(axes, answered, strict=True):
        assert found.differences is not None
        _draw(ax, np.stack([found.differences.values_S, found.differences.low_S, found.differences.high_S], 1), scored)
        ax.axvline(0, color=_OURS, lw=1)
        ax.axvspan(-1, 1, color="gray", alpha=0.12, lw=0)
        ax.set(title=f"{found.question}: just meaningful differences", xlabel=f"steps from {name}; shaded: below one")
        reach = 1.15 * max(1.2, *np.abs(ax.get_xlim()))
        ax.set_xlim(-reach, reach)
    return _png(figure)


def _panels(answered: Sequence[Answered], systems: int) -> tuple[Figure, Sequence[Axes]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6 * len(answered), 1.6 + 0.42 * systems), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, len(answered), sharey=True, squeeze=False)[0]


def _draw(ax: Axes, values_S3: np.ndarray[tuple[int, ...], np.dtype[np.float64]], scored: Scored) -> None:
    """A point and its interval for each system, the first on top."""
    rows = np.arange(len(values_S3))[::-1]
    for row, (value, low, high), place in zip(rows, values_S3, range(len(rows)), strict=True):
        colour = _OURS if place == scored.ours else _COLOUR
        ax.plot([low, high], [row, row], color=colour, lw=2.2, solid_capstyle="round")
        ax.plot([value], [row], "o", color=colour, ms=7)
        ax.annotate(f"{value:.2f}", (value, row), (0, 8), textcoords="offset points", ha="center", fontsize=8)
    # No name of a system is taken for mathematics.
    ax.set_yticks(rows, [name.replace("$", r"\$") for name in scored.key.systems])
    ax.set_ylim(-0.6, len(rows) - 0.3)
    ax.grid(axis="x", alpha=0.3)


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, dpi=130, format="png")
    return file.getvalue()
