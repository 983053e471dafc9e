"""All metrics over evaluated rows, and how they are written down."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from v2a_core.metrics import METRICS, load_metric
from v2a_core.metrics.base import NotMeasuredError, Rows, Score
from v2a_core.metrics.config import MetricSettings
from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.extractors.folder import joined_columns
from v2a_core.tables import arrays
from v2a_core.tables.schema import OK

_ABOUT = ("segment_id", "source_name", "label", "status")


@dataclass(frozen=True)
class Result:
    """A metric's score, or why there is none.

    Attributes:
        name, title: Of the metric.
        better: `higher` or `lower`.
        score: None when it was not measured.
        reason: Why not.
    """

    name: str
    title: str
    better: str
    score: Score | None
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        head = {"title": self.title, "better": self.better}
        return head | (self.score.to_dict() if self.score else {"not_measured": self.reason})


def row_columns(settings: MetricSettings) -> list[str]:
    """The columns of evaluated rows that metrics need, and no others: rows are many, and some columns large.

    Args:
        settings: Of the metrics.

    Returns:
        Without those that come from an extractor's own folder.
    """
    joined = {column for name in EXTRACTORS.names() for column in joined_columns(name)}
    needs = [need for name in METRICS.names() for need in load_metric(name, settings).needs if need not in joined]
    return list(dict.fromkeys([*_ABOUT, *needs]))


def read_rows(table: pa.Table) -> dict[str, Sequence[Any]]:
    """The columns of the good rows; lists of numbers as arrays, not finite numbers as None.

    A Python object for each number of a list, and for each time that a label stands there, would be most of the memory.
    """
    good = table.filter(pc.equal(table["status"], OK))
    columns: dict[str, Sequence[Any]] = {}
    for name in good.schema.names:
        if pa.types.is_list(good.schema.field(name).type):
            columns[name] = arrays.read_vectors(good[name])
        elif pa.types.is_string(good.schema.field(name).type):
            texts = good[name].combine_chunks().dictionary_encode()
            each = [*texts.dictionary.to_pylist(), None]
            columns[name] = [each[-1 if place is None else place] for place in texts.indices.to_pylist()]
        else:
            columns[name] = [_finite(value) for value in good[name].to_pylist()]
    return columns


def references_in_words(ids: Sequence[str], references: Mapping[str, object]) -> str:
    """What embeddings from elsewhere are compared with.

    Args:
        ids: Of the segments.
        references: Embeddings by segment id; those of other segments alone are a set, without pairs.
    """
    found = sum(identity in references for identity in ids)
    if not found:
        return f"{len(references)} embeddings of other segments, as a set"
    return f"{found} of {len(ids)} segments have their own in the embeddings"


def measure(rows: Rows, settings: MetricSettings) -> list[Result]:
    """Every metric of the registry."""
    results = []
    for name in METRICS.names():
        metric = load_metric(name, settings)
        try:
            results.append(Result(name, metric.title, metric.better, metric.compute(rows, settings)))
        except NotMeasuredError as error:
            results.append(Result(name, metric.title, metric.better, None, str(error)))
    return results


def to_markdown(results: Sequence[Result], confidence: float) -> str:
    """A table, and by class where a metric tells classes apart."""
    lines = [
        f"| metric | better | value | {confidence:.0%} interval | by chance | rows |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for result in results:
        lines.append(f"| {result.title} | {result.better} | {_cells(result)} |")
    for result in results:
        if result.score and result.score.parts:
            lines += [
                "",
                f"{result.title}, by class:",
                "",
                "| class | value | interval | rows |",
                "|---|---:|---:|---:|",
            ]
            for name, part in result.score.parts.items():
                lines.append(f"| {_plain(name)} | {part.value:.3f} | {_interval(part)} | {part.count} |")
    return "\n".join(lines) + "\n"


def _cells(result: Result) -> str:
    score = result.score
    if score is None:
        return f"not measured: {_plain(result.reason)} | | | "
    chance = "" if score.chance is None else f"{score.chance:.3f}"
    return f"{score.value:.3f} | {_interval(score)} | {chance} | {score.count}"


def _interval(score: Score) -> str:
    return "" if math.isnan(score.low) else f"{score.low:.3f} to {score.high:.3f}"


def _plain(text: str) -> str:
    """Names come from catalogs: no markup, no new cells."""
    return " ".join(text.replace("|", "/").replace("<", "(").replace(">", ")").split())


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
