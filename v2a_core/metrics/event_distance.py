"""E-L1 as a metric of rows: the mean distance of loudness over time; see `v2a_core.metrics.event_level`."""

from __future__ import annotations

from typing import Literal

import numpy as np

from v2a_core.metrics import METRICS
from v2a_core.metrics.base import NOT_NEGATIVE, Rows, Score, Span, complete
from v2a_core.metrics.config import IntervalSettings
from v2a_core.metrics.intervals import mean


class EventDistance:
    """The mean over rows, in parts of full scale."""

    title = "E-L1 to the reference"
    better: Literal["higher", "lower"] = "lower"
    span: Span = NOT_NEGATIVE
    needs = ("level_difference",)

    def compute(self, rows: Rows, intervals: IntervalSettings) -> Score:
        """Mean and bootstrap interval."""
        (values,) = complete(rows, self.needs)
        return mean(np.array(values), intervals)


METRICS.add("event_l1", EventDistance)
