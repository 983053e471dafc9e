"""Metrics: how good made sounds are, one file each. Importing this loads none of them.

A new metric is a file that registers itself, with its settings if it has any, and a line here; the contract test over
this registry then covers it. It needs named columns of evaluated rows: those that `v2a_core.metrics.extractors` give.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from v2a_core.registry import Registry

if TYPE_CHECKING:
    from v2a_core.metrics.base import Metric
    from v2a_core.metrics.config import MetricSettings

# What makes a metric: called with its own settings, or with nothing when it has none.
METRICS: Registry[Callable[..., Metric]] = Registry(
    "metric",
    "v2a.metrics",
    {
        "clap_similarity_condition": "v2a_core.metrics.similarity",
        "clap_similarity_caption": "v2a_core.metrics.similarity",
        "clap_similarity_reference": "v2a_core.metrics.similarity",
        "class_accuracy": "v2a_core.metrics.accuracy",
        "class_accuracy_reference": "v2a_core.metrics.accuracy",
        "onset_agreement": "v2a_core.metrics.onsets",
        "onset_accuracy": "v2a_core.metrics.onset_precision",
        "onset_average_precision": "v2a_core.metrics.onset_precision",
        "event_l1": "v2a_core.metrics.event_distance",
        "pitch_correlation": "v2a_core.metrics.pitch",
        "tempo_correlation": "v2a_core.metrics.tempo",
    },
)


def load_metric(name: str, settings: MetricSettings) -> Metric:
    """The metric of a name.

    Raises:
        ConfigError: For an unknown name.
    """
    entry = METRICS[name]
    return entry.component() if entry.settings is None else entry.component(settings.own(name, entry.settings))
