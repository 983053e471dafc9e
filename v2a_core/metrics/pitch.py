"""Whether a sound is high where its reference is: the correlation of their log-spectral centroids."""

from __future__ import annotations

from typing import Literal

import numpy as np

from v2a_core.metrics import METRICS
from v2a_core.metrics.base import COSINE, Rows, Score, Span, complete
from v2a_core.metrics.config import IntervalSettings
from v2a_core.metrics.correlation import correlation

LEAST_ROWS = 3


class PitchCorrelation:
    """Correlation of the log centroids of made sounds and their references."""

    title = "Pitch correlation with the reference"
    better: Literal["higher", "lower"] = "higher"
    span: Span = COSINE
    needs = ("pitch_hz", "reference_pitch_hz")

    def compute(self, rows: Rows, intervals: IntervalSettings) -> Score:
        """Pearson's correlation with a bootstrap interval."""
        made, reference = complete(rows, self.needs, LEAST_ROWS)
        return correlation(np.log(made), np.log(reference), intervals)


METRICS.add("pitch_correlation", PitchCorrelation)
