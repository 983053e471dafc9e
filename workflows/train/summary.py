"""What a training, and a sweep of them, has to tell at its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from v2a_core.training.history import ValidationRow


class TrainSummary(TypedDict):
    """The summary of a training, as in `summary.json`.

    Attributes:
        stopped: Why it ended before its last step; None: it did not.
        counts: Rows of each split, and `left_out`: rows by the reason for leaving them out.
        parameters: Of the mapper.
        fingerprint: Of its weights.
        continued_from: The step of the checkpoint that the run went on from.
        best: The validation that the exported mapper is of.
        last: The last one.
    """

    job: str
    status: str
    stopped: str | None
    output: str
    counts: Counts
    parameters: int
    fingerprint: str
    steps: int
    epochs: int
    continued_from: int
    best: ValidationRow
    last: ValidationRow
    seconds: dict[str, float]
    pairs_per_second: float


class Counts(TypedDict):
    """Rows of a training."""

    train: int
    validation: int
    left_out: Mapping[str, int]


class SweepRow(TypedDict, total=False):
    """A run of a sweep, as in `sweep.json`.

    Attributes:
        error: Why it has no mapper, or ended early.
        best: The validation that its mapper is of; None: it has none.
    """

    name: str
    error: str | None
    best: ValidationRow | None
    parameters: int | None
    steps: int | None
    seconds: float | None
    fingerprint: str
    output: str


def sentence(summary: TrainSummary) -> str:
    """The summary in one line."""
    best, counts = summary["best"], summary["counts"]
    left_out = ", ".join(f"{count} {reason}" for reason, count in counts["left_out"].items() if count) or "none"
    again = f", continued from step {summary['continued_from']}" if summary["continued_from"] else ""
    return (
        f"train: {summary['status']}, {summary['steps']} steps on {counts['train']} pairs in "
        f"{summary['seconds']['total']:.1f} s ({summary['pairs_per_second']:.0f} pairs/s){again}; best at epoch "
        f"{best['epoch']}: loss {best['validation_loss']:.4f}, cosine {best['validation_cosine']:.3f} on "
        f"{counts['validation']} pairs; left out: {left_out} -> {summary['output']}"
    )
