"""How good a bundle is on the small world: `score` measures and prints it. Importing this loads no torch."""

from __future__ import annotations

from pathlib import Path

from v2a_core.miniature.score.config import ScoreSettings
from v2a_core.protocols import JSON

__all__ = ["ScoreSettings", "score", "score_following"]


def score(
    bundle: str,
    *,
    output: Path | None = None,
    per_class: int | None = None,
    seed: int = 0,
    settings: ScoreSettings | None = None,
    judge: Path | None = None,
) -> dict[str, JSON]:
    """Measure a bundle on held-out scenes and print the table; see `v2a_core.miniature.score.run.score`."""
    from v2a_core.miniature.score.run import score as run

    return run(bundle, output=output, per_class=per_class, seed=seed, settings=settings, judge=judge)


def score_following(
    bundle: str, *, output: Path | None = None, per_class: int | None = None, judge: Path | None = None
) -> dict[str, JSON]:
    """Measure only how sounds follow curves; see `v2a_core.miniature.score.run.score_following`."""
    from v2a_core.miniature.score.run import score_following as run

    return run(bundle, output=output, per_class=per_class, judge=judge)
