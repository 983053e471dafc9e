"""Settings of the scoring of a listening test."""

from __future__ import annotations

import math

from v2a_core.config import Settings, setting


class ScoringSettings(Settings):
    """Which answers count, and how intervals are made."""

    ours: str | None = setting(None, "the system that the others are compared with; none: the first one of the test")
    confidence: float = setting(0.95, "of every interval", gt=0.5, lt=1)
    resamples: int = setting(1000, "of listeners and items, for the intervals", ge=50, le=20_000)
    seed: int = setting(0, "of the resamples", ge=0)
    graded: bool = setting(False, "scale values from how many points ratings differ, not only from which is higher")
    jmd_unit: float = setting(
        math.log(3), "one just meaningful difference; ln 3: a preference of 75 %, ties aside", unit="logits", gt=0
    )
    keep_failed: bool = setting(False, "count listeners who fail a check, too; they are listed all the same")
    headphones_least: float = setting(
        0.8,
        "a listener with a smaller share of right headphone trials fails; of six, five have to be right",
        ge=0,
        le=1,
    )
    rated_least: float = setting(0.9, "a listener who rated a smaller share of the sounds fails", ge=0, le=1)
    repeat_most: float = setting(
        1.5, "a listener whose ratings of repeated items differ by more, in the mean, fails", unit="points", ge=0
    )
