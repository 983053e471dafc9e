"""Resamples of listeners and of items: who else might have listened, and to what else.

Ratings of one listener depend on each other, and so do ratings of one item; so both are drawn, whole. Source: A. B.
Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1 (2007), which shows that the intervals are not too short.

Shapes: R resamples, L listeners, I items.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from v2a_core.metrics.intervals import quantiles

Floats = npt.NDArray[np.float64]

RESAMPLES = 400


def resample(listeners: int, items: int, resamples: int = RESAMPLES, seed: int = 0) -> tuple[Floats, Floats]:
    """How often each listener (R, L) and each item (R, I) counts: drawn with replacement, float64."""
    random = np.random.default_rng([seed, listeners, items])
    by_listener, by_item = (random.multinomial(n, np.full(n, 1 / n), size=resamples) for n in (listeners, items))
    return by_listener.astype(np.float64), by_item.astype(np.float64)


def interval(values_RS: Floats, confidence: float = 0.95) -> Floats:
    """Lower and upper bound of each column, the middle `confidence` of the resamples, float64 (2, S)."""
    return np.array([quantiles(values_R, confidence) for values_R in values_RS.T]).T
