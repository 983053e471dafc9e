"""The runs of a sweep beside each other: sorted, and as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from workflows.train.summary import SweepRow

LOWER_IS_BETTER = ("validation_loss", "validation_median_rank", "validation_frechet")
_SHOWN = ("loss", "cosine", "recall_at_1", "recall_at_10", "median_rank", "frechet", "variance_ratio")


def sort_rows(rows: Sequence[SweepRow], metric: str) -> list[SweepRow]:
    """The best first; runs without the metric last."""
    sign = 1 if metric in LOWER_IS_BETTER else -1

    def place(row: SweepRow) -> tuple[bool, float]:
        value = _value(row, metric)
        return value is None, sign * (value or 0.0)

    return sorted(rows, key=place)


def markdown(rows: Sequence[SweepRow], title: str, sort_by: str) -> str:
    """The table for people."""
    columns = [f"validation_{name}" for name in _SHOWN]
    heads = [f"**{name}**" if name == sort_by else name.removeprefix("validation_") for name in columns]
    lines = [f"# {title}", "", f"Best state of each run, sorted by `{sort_by}`.", ""]
    lines += [f"| run | parameters | {' | '.join(heads)} | steps | minutes | |", "|" + "---|" * (len(columns) + 5)]
    for row in rows:
        values = [_value(row, name) for name in columns]
        cells = ["" if value is None else f"{value:.4g}" for value in values]
        parameters, seconds = row.get("parameters"), row.get("seconds")
        size = f"{parameters / 1e6:.2f} M" if parameters else ""
        minutes = f"{seconds / 60:.1f}" if seconds else ""
        note = (row.get("error") or "").splitlines()[:1]
        lines.append(f"| {row['name']} | {size} | {' | '.join(cells)} | {row['steps']} | {minutes} | {''.join(note)} |")
    return "\n".join(lines) + "\n"


def _value(row: SweepRow, metric: str) -> float | None:
    from v2a_core.training.history import value_of

    best = row["best"]
    return None if best is None or metric not in best else value_of(best, metric)
