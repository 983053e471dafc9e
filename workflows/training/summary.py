"""What a training has to tell at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

from v2a_core import storage
from workflows.training.work import Ended, Work

if TYPE_CHECKING:
    from v2a_core.training.history import ValidationRow


class Counts(TypedDict):
    """Rows of a training."""

    train: int
    validation: int
    left_out: Mapping[str, int]


class TrainSummary(TypedDict):
    """The summary of a training, as in `summary.json`.

    Attributes:
        stopped: Why it ended before its last step; None: it did not.
        counts: Rows of each split, and `left_out`: rows by the reason for leaving them out.
        parameters: Of what was trained.
        fingerprint: Of its weights.
        continued_from: The step of the checkpoint that the run went on from.
        best: The validation that the exported state is of.
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


@dataclass(frozen=True)
class Checkpointed:
    """The state that a run exports.

    Attributes:
        folder: The last checkpoint.
        weights: The file of the best state in it.
    """

    folder: Path
    weights: Path


def summarize(last: Checkpointed, ended: Ended, work: Work[Any], parameters: int, seconds: float) -> TrainSummary:
    """The summary of a run.

    Args:
        last: What is exported.
        ended: How the run ended.
        work: What it was asked to do.
        parameters: Of what was trained.
        seconds: What it took in all.
    """
    from v2a_core.mappers.export import fingerprint_of
    from v2a_core.training.checkpoint import FACTS_FILE, METRICS_FILE, read_rows

    history, facts = read_rows(last.folder / METRICS_FILE), storage.read_json(str(last.folder / FACTS_FILE))
    best, latest, stopped = max(history, key=lambda row: float(row["score"])), history[-1], ended.stopped
    return {
        "job": work.name,
        "status": "stopped" if stopped else "done",
        "stopped": stopped,
        "output": work.output,
        "counts": cast(Counts, {**facts["rows"], "left_out": facts["left_out"]}),
        "parameters": parameters,
        "fingerprint": fingerprint_of(last.weights),
        "steps": latest["step"],
        "epochs": latest["epoch"],
        "continued_from": ended.continued_from,
        "best": best,
        "last": latest,
        "seconds": {"total": round(seconds, 2), "training": latest["seconds"]},
        "pairs_per_second": round(latest["pairs_per_second"], 1),
    }


def told_of(summary: TrainSummary) -> dict[str, Any]:
    """What the description of what was trained says of its training, for people."""
    said = cast(Mapping[str, Any], summary)
    return {key: said[key] for key in ("counts", "steps", "epochs", "best", "seconds")}


def sentence(summary: TrainSummary, what: str, told: Sequence[str]) -> str:
    """The summary in one line.

    Args:
        summary: Of the run.
        what: What its rows are.
        told: Names of numbers of the best validation.
    """
    best, counts = cast(Mapping[str, Any], summary["best"]), summary["counts"]
    left_out = ", ".join(f"{count} {reason}" for reason, count in counts["left_out"].items() if count) or "none"
    again = f", continued from step {summary['continued_from']}" if summary["continued_from"] else ""
    scores = ", ".join(f"{name.replace('_', ' ')} {best[f'validation_{name}']:.3f}" for name in told)
    return (
        f"{summary['job']}: {summary['status']}, {summary['steps']} steps on {counts['train']} {what} in "
        f"{summary['seconds']['total']:.1f} s ({summary['pairs_per_second']:.0f} {what}/s){again}; best at epoch "
        f"{best['epoch']}: loss {best['validation_loss']:.4f}, {scores} on {counts['validation']} {what}; left out: "
        f"{left_out} -> {summary['output']}"
    )
