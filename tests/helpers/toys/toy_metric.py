"""A metric of another package: how far the peaks of made sounds are from those of their references."""

from __future__ import annotations

from typing import Literal

import numpy as np

from v2a_core.config import Settings, setting
from v2a_core.metrics import METRICS
from v2a_core.metrics.base import NOT_NEGATIVE, Rows, Score, complete
from v2a_core.metrics.config import IntervalSettings
from v2a_core.metrics.intervals import mean


class PeakSettings(Settings):
    """What can be set."""

    most_db: float = setting(60.0, "a larger difference counts as this", unit="dB", gt=0)


class PeakDifference:
    """Mean of the absolute differences, in dB."""

    title = "Difference of the peaks (dB)"
    better: Literal["higher", "lower"] = "lower"
    span = NOT_NEGATIVE
    needs = ("peak_dbfs", "reference_peak_dbfs")

    def __init__(self, settings: PeakSettings) -> None:
        self._most_db = settings.most_db

    def compute(self, rows: Rows, intervals: IntervalSettings) -> Score:
        """Mean and bootstrap interval."""
        made, reference = complete(rows, self.needs)
        return mean(np.minimum(np.abs(np.subtract(made, reference)), self._most_db), intervals)


METRICS.add("peak_difference", PeakDifference, PeakSettings)
