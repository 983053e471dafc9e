"""Metrics: how good made sounds are, one file each. Importing this loads none of them.

A new metric is a file with an object of `v2a_core.metrics.base.Metric` and a line here; the contract test over this
registry then covers it. What it needs of a row, `v2a_core.tables.evaluated` extracts.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from v2a_core.metrics.base import Metric

METRICS = {
    "clap_frechet": "v2a_core.metrics.frechet:ClapFrechet",
    "clap_similarity_condition": "v2a_core.metrics.similarity:TO_CONDITION",
    "clap_similarity_caption": "v2a_core.metrics.similarity:TO_CAPTION",
    "clap_similarity_reference": "v2a_core.metrics.similarity:TO_REFERENCE",
    "class_accuracy": "v2a_core.metrics.accuracy:OF_MADE",
    "class_accuracy_reference": "v2a_core.metrics.accuracy:OF_REFERENCE",
    "onset_agreement": "v2a_core.metrics.onsets:OnsetAgreement",
    "pitch_correlation": "v2a_core.metrics.pitch:PitchCorrelation",
    "tempo_correlation": "v2a_core.metrics.tempo:TempoCorrelation",
}


def load_metric(name: str) -> Metric:
    """The metric of a name.

    Raises:
        ValueError: For an unknown name.
    """
    if name not in METRICS:
        raise ValueError(f"no metric {name!r}; known: {', '.join(METRICS)}")
    module, _, attribute = METRICS[name].partition(":")
    found: Any = getattr(importlib.import_module(module), attribute)
    metric: Metric = found() if isinstance(found, type) else found
    return metric
