"""Typed configuration of the metrics and of what they are computed from."""

from __future__ import annotations

from typing import Annotated

from v2a_core.config import Settings, setting
from v2a_core.metrics import METRICS
from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.registry import EachOf, Groups


class IntervalSettings(Settings):
    """How confidence intervals are made."""

    seed: int = setting(0, "seed of the bootstrap", ge=0)
    confidence: float = setting(0.95, "confidence of the intervals", gt=0, lt=1)
    resamples: int = setting(1000, "bootstrap resamples of means and correlations", ge=10, le=100_000)


class MetricSettings(Groups, IntervalSettings):
    """Intervals, and a group for each metric that has settings of its own."""


class ExtractorSettings(Groups):
    """A group for each extractor that has settings of its own."""


EACH_METRIC = EachOf(METRICS, MetricSettings)
AllMetricSettings = Annotated[MetricSettings, EACH_METRIC]
EACH_EXTRACTOR = EachOf(EXTRACTORS, ExtractorSettings)
AllExtractorSettings = Annotated[ExtractorSettings, EACH_EXTRACTOR]
