"""Pictures of a run: its curves, how near paired embeddings are before and after the mapper, and where the clouds lie.

Shapes: M sampled rows, V width of a visual embedding, E of an audio embedding.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from v2a_core.training.history import LossRow, ValidationRow, value_of
from v2a_core.training.validation import MappedRows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVES_FILE, HISTOGRAM_FILE, PROJECTION_FILE = "curves.png", "cosine-histogram.png", "projection.png"
PROJECTED_ROWS = 1000  # of each cloud

_COLOURS = {"CLIP (seen)": "tab:blue", "CLAP (heard)": "tab:orange", "mapped": "tab:green"}


def draw_curves(history: Sequence[ValidationRow], losses: Sequence[LossRow], path: Path) -> None:
    """Write loss, cosine similarity, retrieval and diversity over the steps as a PNG.

    Args:
        history: The metrics of each validation.
        losses: The training loss every few steps.
        path: The file.
    """
    figure = _figure(12, 6.5)
    (loss, cosine, recall), (frechet, diversity, rate) = figure.subplots(2, 3)
    loss.plot([row["step"] for row in losses], [row["train_loss"] for row in losses], lw=0.8, label="training")
    loss.plot(*_series(history, "validation_loss"), marker=".", label="validation")
    cosine.plot(*_series(history, "validation_cosine"), marker=".", color="tab:green")
    for k in (1, 5, 10):
        recall.plot(*_series(history, f"validation_recall_at_{k}"), marker=".", label=f"R@{k}")
    frechet.plot(*_series(history, "validation_frechet"), marker=".", color="tab:red")
    diversity.plot(*_series(history, "validation_variance_ratio"), marker=".", color="tab:purple")
    diversity.axhline(1, color="gray", lw=0.8, ls="--")
    rate.plot([row["step"] for row in losses], [row["gradient_norm"] for row in losses], lw=0.8, color="tab:gray")
    titles = (
        "loss", "cosine similarity to the true sound", "retrieval, seen to heard", "Fréchet distance to true sounds",
        "variance, mapped / true", "gradient norm before clipping",
    )  # fmt: skip
    for axes, title in zip((loss, cosine, recall, frechet, diversity, rate), titles, strict=True):
        axes.set(title=title, xlabel="step")
        axes.grid(alpha=0.3)
    recall.set_ylim(0, 1.03)
    diversity.set_ylim(0, max(1.2, diversity.get_ylim()[1]))
    loss.legend()
    recall.legend()
    figure.savefig(path, dpi=120, format="png")


def draw_histogram(rows: MappedRows, path: Path) -> None:
    """Write the cosine similarity of paired embeddings, seen to heard and mapped to heard, as a PNG.

    Of a vision encoder of another width than CLAP there is no angle between what is seen and what is heard.
    """
    after = (rows.mapped_ME * rows.target_ME).sum(axis=1)
    shown = [(after, "after: mapped to CLAP", "tab:green")]
    if rows.condition_MV.shape == rows.target_ME.shape:
        before = (rows.condition_MV * rows.target_ME).sum(axis=1)
        shown.insert(0, (before, "before: CLIP to CLAP", "tab:blue"))
    figure = _figure(6.5, 4)
    axes = figure.subplots()
    edges = np.linspace(min(-0.2, *(values.min() for values, _, _ in shown)), 1, 61)
    for values, label, colour in shown:
        axes.hist(values, edges, alpha=0.6, color=colour, label=f"{label}, mean {values.mean():.3f}")
        axes.axvline(float(values.mean()), color=colour, lw=1, ls="--")
    axes.set(xlabel="cosine similarity of a pair", ylabel=f"pairs (of {len(after)})", title="validation pairs")
    axes.legend()
    figure.savefig(path, dpi=120, format="png")


def draw_projection(rows: MappedRows, path: Path) -> None:
    """Write the clouds of CLIP, CLAP and mapped embeddings in two dimensions as a PNG; by UMAP when it is installed.

    What is seen is left out where its embeddings have another width.
    """
    clouds = dict(zip(_COLOURS, (rows.condition_MV, rows.target_ME, rows.mapped_ME), strict=True))
    clouds = {name: cloud for name, cloud in clouds.items() if cloud.shape == rows.target_ME.shape}
    clouds = {name: cloud[:PROJECTED_ROWS] for name, cloud in clouds.items()}
    how, places = project(np.concatenate(list(clouds.values())))
    figure = _figure(6.5, 5.5)
    axes = figure.subplots()
    for (name, cloud), place in zip(clouds.items(), np.split(places, len(clouds)), strict=True):
        axes.scatter(place[:, 0], place[:, 1], s=8, alpha=0.5, lw=0, color=_COLOURS[name], label=name)
        assert len(cloud) == len(place)
    axes.set(title=f"validation embeddings, {how}", xticks=[], yticks=[])
    axes.legend(markerscale=2)
    figure.savefig(path, dpi=120, format="png")


def project(vectors_ME: npt.NDArray[np.float32]) -> tuple[str, npt.NDArray[np.float64]]:
    """Two dimensions of many: how, and the places (M, 2). UMAP (arXiv:1802.03426) if installed, else PCA."""
    if importlib.util.find_spec("umap") is not None and len(vectors_ME) > 15:  # its usual number of neighbours
        import umap

        placed = umap.UMAP(metric="cosine", random_state=0).fit_transform(vectors_ME)
        return "UMAP", np.asarray(placed, np.float64)
    centred = vectors_ME.astype(np.float64) - vectors_ME.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    return "PCA", centred @ axes[:2].T


def _series(history: Sequence[ValidationRow], name: str) -> tuple[list[int], list[float]]:
    """The steps at which a metric was measured, and its values."""
    measured = [(row["step"], value) for row in history if (value := value_of(row, name)) is not None]
    return [step for step, _ in measured], [value for _, value in measured]


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
