"""Typed configuration of the metrics."""

from __future__ import annotations

from v2a_core.config import Settings, setting


class MetricSettings(Settings):
    """Intervals and tolerances."""

    seed: int = setting(0, "seed of the bootstrap", ge=0)
    confidence: float = setting(0.95, "confidence of the intervals", gt=0, lt=1)
    resamples: int = setting(1000, "bootstrap resamples of means and correlations", ge=10, le=100_000)
    frechet_resamples: int = setting(40, "bootstrap resamples of a Fréchet distance (each costs one)", ge=0, le=10_000)
    onset_tolerance_s: float = setting(
        0.1, "largest distance of two onsets that are taken for the same", unit="s", gt=0, le=1
    )
