"""What was heard of sounds that follow curves, as lines with their targets.

Shapes: N scenes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from v2a_core.metrics.base import Score
from v2a_core.metrics.intervals import mean
from v2a_core.miniature.score.config import MetricSettings
from v2a_core.miniature.score.following import CEILING, CHOICE, NEAR_S, Followed
from v2a_core.miniature.score.judgement import UNKNOWN, accuracy
from v2a_core.miniature.score.lines import Line, worst_part
from v2a_core.miniature.score.long_tracks import SCENES, Joined
from v2a_core.miniature.score.systems import kinds_of
from v2a_core.miniature.world import KINDS, Scene
from v2a_core.protocols import Floats

# Kinds whose events are heard one by one, which a sound can be in time with.
EVENTS = ("bouncing ball", "bell", "clock", "drum", "laser", "birds", "engine")


def must_follow(
    followed: Mapping[str, Followed], joined: Joined | None, scenes: Sequence[Scene], settings: MetricSettings
) -> list[Line]:
    """The numbers that have targets, and those they are compared with.

    Args:
        followed: By the way in which a curve was given.
        joined: The scenes in soundtracks of several; None where no curves are predicted.
        scenes: What was heard.
        settings: Intervals.
    """
    told = _Told(followed, kinds_of(scenes[: len(followed["own"].kinds_N)]), settings)
    own, free = "with the real sound's curve", told.kinds("free", "without a curve")
    ceiling = "of the real sound through VAE and vocoder"
    lines = [
        told.onsets(CEILING, ceiling),
        told.levels(CEILING, ceiling),
        told.onsets("free", "without a curve"),
        told.onsets("own", own, 0.82),
        told.events("own", own, 0.88),
        told.onsets("other", "with that of another of its kind", 0.52, at_most=True),
        told.levels("own", own, 0.60),
        free,
        told.kinds("own", own, free.score.low),
    ]
    if "motion" in followed:
        lines += [told.onsets("motion", "with a curve of motion alone"), told.levels("motion", "with that")]
    if "predicted" in followed:
        lines += _of_predicted(told, free)
    return [*lines, *(_of_long_tracks(joined, told, settings) if joined else [])]


def _of_predicted(told: _Told, free: Line) -> list[Line]:
    predicted = "with a predicted curve"
    return [
        told.onsets("predicted", predicted, 0.77),
        told.events("predicted", predicted, 0.84),
        told.near("predicted", predicted, 0.70),
        told.onsets("ink", f"{predicted}, in the other drawing style", 0.65),
        told.levels("predicted", predicted, 0.55),
        told.kinds("predicted", predicted, free.score.low),
        told.gains("predicted", predicted),
        told.gains("ink", f"{predicted}, in the other drawing style"),
        told.onsets("choice", f"{predicted}, the best of {CHOICE.count}"),
        told.levels("choice", "with that"),
        told.kinds("choice", "with that", free.score.low),
    ]


def _of_long_tracks(joined: Joined, told: _Told, settings: MetricSettings) -> list[Line]:
    """Lines of soundtracks of several scenes, against the same scenes alone."""
    alone_N = told.followed["predicted"].agreement_N[: len(joined.agreement_N)]
    lost, extra, cut = (
        mean(values_N[np.isfinite(values_N)].astype(np.float64), settings) if np.isfinite(values_N).any() else UNKNOWN
        for values_N in (alone_N - joined.agreement_N, joined.extra_N, joined.cut_N)
    )
    seams = "onsets where scenes meet that are not real, beyond those elsewhere"
    return [
        Line("long_lost", f"onset F1 lost in soundtracks of {SCENES} scenes", lost, 0.05, at_most=True),
        Line("long_seams", seams, extra, 0.05, at_most=True),
        Line("long_cuts", "the same of the real sounds, one behind the other", cut),
    ]


@dataclass(frozen=True)
class _Told:
    """Lines of what was measured.

    Attributes:
        followed: By the way in which a curve was given.
        truth_N: Index of the kind of each scene.
        settings: Intervals.
    """

    followed: Mapping[str, Followed]
    truth_N: npt.NDArray[np.int64]
    settings: MetricSettings

    def onsets(self, way: str, title: str, target: float | None = None, at_most: bool = False) -> Line:
        score = self._mean(self.followed[way].agreement_N)
        return Line(f"onsets_{way}", f"onset F1 {title}", score, target, at_most)

    def events(self, way: str, title: str, target: float) -> Line:
        score = self._mean(self.followed[way].agreement_N, EVENTS)
        return Line(f"onsets_{way}_events", f"the same of kinds with single events, {title}", score, target)

    def near(self, way: str, title: str, target: float) -> Line:
        score = self._mean(self.followed[way].near_N)
        return Line(f"onsets_{way}_near", f"onset F1 within {1000 * NEAR_S:.0f} ms {title}", score, target)

    def levels(self, way: str, title: str, target: float | None = None) -> Line:
        score = self._mean(self.followed[way].correlation_N)
        return Line(f"level_{way}", f"correlation of levels {title}", score, target)

    def kinds(self, way: str, title: str, target: float | None = None) -> Line:
        score = accuracy(self.followed[way].kinds_N, self.truth_N, self.settings)
        return Line(f"class_{way}", f"class {title}", score, target)

    def gains(self, way: str, title: str) -> Line:
        """Of the kind that gains least over no curve."""
        gained = self._mean(self.followed[way].agreement_N - self.followed["free"].agreement_N)
        if not gained.parts:
            return Line(f"gain_{way}", f"least gain of a kind {title}", UNKNOWN, 0.0)
        kind, score = worst_part(gained)
        return Line(f"gain_{way}", f"least gain of a kind ({kind}) {title}", score, 0.0)

    def _mean(self, values_N: Floats, kinds: Sequence[str] = KINDS) -> Score:
        """Mean over scenes of some kinds, with that of each kind in `parts`."""
        known_N, settings = np.isfinite(values_N), self.settings
        of_kind = {kind: values_N[known_N & (self.truth_N == KINDS.index(kind))] for kind in kinds}
        parts = {kind: mean(found.astype(np.float64), settings) for kind, found in of_kind.items() if len(found)}
        if not parts:
            return UNKNOWN
        wanted_N = known_N & np.isin(self.truth_N, [KINDS.index(kind) for kind in kinds])
        return replace(mean(values_N[wanted_N].astype(np.float64), settings), parts=parts)
