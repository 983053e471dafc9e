"""Metrics of rows as numbers that systems are compared by: with their values without each group of sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from v2a_core.metrics import METRICS, load_metric
from v2a_core.metrics.base import NotMeasuredError, Rows
from v2a_core.metrics.config import MetricSettings
from v2a_core.metrics.hearing_protocols import Protocol
from v2a_core.metrics.jackknife import group_of
from v2a_core.metrics.systems.base import Estimate, ValueOfEach, without_each
from v2a_core.metrics.systems.measure import SetResult

# Without a group only the value is wanted, not another interval.
_NO_INTERVAL = {"resamples": 10}


def row_results(
    rows: Rows, made_by: Mapping[str, tuple[str, str]], protocol: Protocol, settings: MetricSettings
) -> list[SetResult]:
    """Every metric of rows.

    Args:
        rows: Columns of a system's evaluated rows.
        made_by: The extractors of each metric, and the sha256 of their weights.
        protocol: What was heard of each sound.
        settings: Of the metrics.
    """
    results = []
    for name in METRICS.names():
        metric = load_metric(name, settings)
        head = (name, metric.title, metric.better, *made_by[name], protocol)
        try:
            results.append(SetResult(*head, estimate=_estimate(name, rows, settings)))
        except NotMeasuredError as error:
            results.append(SetResult(*head, reason=str(error)))
    return results


def _estimate(name: str, rows: Rows, settings: MetricSettings) -> Estimate:
    metric = load_metric(name, settings)
    whole = metric.compute(rows, settings)
    quick = type(settings).model_validate({**settings.model_dump(), **_NO_INTERVAL})
    groups = [group_of(source) for source in rows["source_name"]]

    def without(group: int | None) -> float:
        kept = {column: _kept(values, groups, group) for column, values in rows.items()}
        return load_metric(name, quick).compute(kept, quick).value

    beside = {} if whole.chance is None else {"shuffled_pairs": whole.chance}
    without_G, values = without_each(without, sorted(set(groups))), _values(metric.needs, rows)
    return Estimate(whole.value, whole.count, without_G, beside=beside, values=values, span=metric.span)


def _values(needs: Sequence[str], rows: Rows) -> ValueOfEach:
    """The value of each sound where the metric is a mean of one column, by the name of its source."""
    if len(needs) != 1:
        return ValueOfEach()
    pairs = zip(rows["source_name"], rows[needs[0]], strict=True)
    found = {source: float(value) for source, value in pairs if value is not None}
    keys = sorted(found)
    return ValueOfEach(keys, np.array([found[key] for key in keys]))


def _kept(values: Sequence[Any], groups: Sequence[int], without: int | None) -> list[Any]:
    return [value for value, group in zip(values, groups, strict=True) if group != without]
