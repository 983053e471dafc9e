"""Two hundred simulated tests of people with known likings: how often the intervals of `score` hold the truth."""

from __future__ import annotations

import numpy as np
import pytest

from v2a_core.listening.scoring.config import ScoringSettings
from v2a_core.listening.scoring.measure import measure

TESTS, LISTENERS, ITEMS = 200, 20, 20
LIKING = np.array([3.6, 3.1, 2.6])
# Deviations: of how strict a listener is, how hard an item is, of each one's own taste in systems, of a single rating.
STRICT, HARD, TASTE, NOISE = 0.5, 0.4, 0.35, 0.7
QUICK = ScoringSettings(resamples=150)


def ratings(random: np.random.Generator, listeners: int, items: int) -> np.ndarray:
    """What people say on five points, (L, I, S): they differ, items differ, and both like systems otherwise."""
    liking = (
        LIKING
        + random.normal(0, STRICT, (listeners, 1, 1))
        + random.normal(0, HARD, (1, items, 1))
        + random.normal(0, TASTE, (listeners, 1, 3))
        + random.normal(0, TASTE, (1, items, 3))
        + random.normal(0, NOISE, (listeners, items, 3))
    )
    return np.clip(np.round(liking), 1, 5)


@pytest.mark.slow
def test_intervals_of_everything_that_is_printed_hold_what_is_true():
    endless = measure(ratings(np.random.default_rng(0), 1200, 1200), "fidelity", 0, ScoringSettings(resamples=50))
    assert endless.differences is not None
    true_scores = np.array([score.mean for score in endless.opinions])
    true_pairs = np.array([pair.difference for pair in endless.pairs])
    true_steps, true_scale = endless.differences.values_S, endless.differences.scale_S
    held: dict[str, list[np.ndarray]] = {"scores": [], "pairs": [], "steps": [], "scale": []}
    for seed in range(TESTS):
        said = ratings(np.random.default_rng([1, seed]), LISTENERS, ITEMS)
        found = measure(said, "fidelity", 0, QUICK.model_copy(update={"seed": seed}))
        assert found.differences is not None
        scores = np.array([[score.low, score.high] for score in found.opinions]).T
        pairs = np.array([[pair.low, pair.high] for pair in found.pairs]).T
        steps = np.stack([found.differences.low_S, found.differences.high_S])
        scale = np.stack([found.differences.scale_low_S, found.differences.scale_high_S])
        truths = {"scores": true_scores, "pairs": true_pairs, "steps": true_steps[1:], "scale": true_scale}
        bounds = {"scores": scores, "pairs": pairs, "steps": steps[:, 1:], "scale": scale}
        for name, (low, high) in bounds.items():
            held[name].append((low <= truths[name]) & (truths[name] <= high))
    coverage = {name: float(np.mean(rows, axis=0).min()) for name, rows in held.items()}
    print(coverage)
    assert min(coverage.values()) >= 0.90, coverage
    assert all(np.mean(rows) < 1 for rows in held.values())
