"""A picture of a run: losses and cosine similarity over the steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def draw_curves(history: Sequence[dict[str, Any]], path: Path) -> None:
    """Write the curves of a run as a PNG.

    Args:
        history: The metrics of each validation.
        path: The file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    losses, cosine = figure.subplots(1, 2)
    steps = [row["step"] for row in history]
    for name, label in (("train_loss", "training"), ("validation_loss", "validation")):
        losses.plot(steps, [row[name] for row in history], marker=".", label=label)
    losses.set(title="loss", xlabel="step")
    losses.legend()
    cosine.plot(steps, [row["validation_cosine"] for row in history], marker=".", color="tab:green")
    cosine.set(title="cosine similarity to the true sound", xlabel="step")
    for axes in (losses, cosine):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120, format="png")
