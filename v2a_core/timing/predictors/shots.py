"""Videos are cut: each shot is predicted by itself. A cut is no event, and what is before it no part of what follows.

A cut changes the whole picture once. To a predictor it is more motion than anything that happens, and the picture of a
segment would be the mean of two that have nothing to do with each other.

Shapes: N frames as they are shown, D numbers of an embedding, F values of a curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from v2a_core.protocols import CURVE_HZ, AnyFloats, Curve, CurvePredictor, Floats, Watched
from v2a_core.timing.predictors.grid import curve_frames

AROUND = 3  # frames to either side that a cut stands out from
STANDS_OUT = 2.0  # how often the largest motion there: what flashes moves twice, what moves goes on moving
FADE = round(0.2 * CURVE_HZ)  # values
LEAST_CHANGE = 0.15  # 1 less the cosine of the embeddings of the frames at a cut


class ShotByShot:
    """A predictor that sees shots, where those who ask have segments; see `v2a_core.protocols.CurvePredictor`.

    Args:
        inner: Predicts the curve of each shot as if nothing was before and after it.
        least_cut: Motion of a cut; see `PredictorSettings`.
    """

    def __init__(self, inner: CurvePredictor, least_cut: float) -> None:
        self._inner, self._least_cut = inner, least_cut

    def predict(self, watched: Sequence[Watched]) -> list[Curve]:
        """See `v2a_core.protocols.CurvePredictor.predict`."""
        shots = [shots_of(item, self._least_cut) for item in watched]
        curves = iter(self._inner.predict([shot.seen for item in shots for shot in item]))
        return [behind_each_other([next(curves) for _ in item]) for item in shots]


class Shot(NamedTuple):
    """A part of a segment that nothing cuts.

    Attributes:
        value: Of the curve of the segment, at which it begins.
        seen: It alone.
    """

    value: int
    seen: Watched


def shots_of(seen: Watched, least_cut: float) -> list[Shot]:
    """The shots of a segment, in their order: itself where nothing is cut. After a cut, a frame has moved by nothing.

    A shot begins with the value of a curve at which its first frame is shown.

    Args:
        seen: Of the segment.
        least_cut: See `PredictorSettings`.
    """
    cuts = cuts_of(seen, least_cut)
    if not cuts:
        return [Shot(0, seen)]
    motion_N = seen.motion_N.copy()
    motion_N[cuts] = 0
    uncut = replace(seen, motion_N=motion_N)
    firsts, values = [0], [0]  # of each shot, its first frame and its first value
    for cut in cuts:
        value = round(float(seen.times_s_N[cut]) * CURVE_HZ)
        if values[-1] < value < curve_frames(seen.length_s):
            firsts, values = [*firsts, cut], [*values, value]
    lasts = [*firsts[1:], len(motion_N)]
    ends_s = [*(value / CURVE_HZ for value in values[1:]), seen.length_s]
    return [
        Shot(value, _part(uncut, first, last, value / CURVE_HZ, end_s))
        for first, last, value, end_s in zip(firsts, lasts, values, ends_s, strict=True)
    ]


def _part(seen: Watched, first: int, last: int, start_s: float, end_s: float) -> Watched:
    """Some frames of a segment, from their own beginning on."""
    times_s_N = seen.times_s_N[first:last] - np.float32(start_s)
    frames_ND = None if seen.frames_ND is None else seen.frames_ND[first:last]
    return Watched(times_s_N, seen.motion_N[first:last], frames_ND, end_s - start_s)


def cuts_of(seen: Watched, least_cut: float) -> list[int]:
    """Places of the frames before which the picture is cut, ascending; 0 where it is before the first one.

    A frame after a cut differs from the one before by more than a share of white, and by much more than any frame
    around it does, and its embedding differs, too. What that of the frame before the first one was is not known.
    """
    motion_N = seen.motion_N
    found = []
    for place in np.flatnonzero(motion_N >= least_cut).tolist():
        around_N = np.concatenate([motion_N[max(0, place - AROUND) : place], motion_N[place + 1 : place + 1 + AROUND]])
        if motion_N[place] < STANDS_OUT * around_N.max(initial=0):
            continue
        if seen.frames_ND is None or not place or _change(seen.frames_ND[place - 1 : place + 1]) >= LEAST_CHANGE:
            found.append(place)
    return found


def behind_each_other(curves: Sequence[Curve]) -> Curve:
    """The curve of a stretch whose shots have these; where the next one is softer, the level fades before it.

    A generator that is told of a sound that breaks off makes a short one just before: something that ends.
    """
    if len(curves) == 1:
        return curves[0]
    level_F, onset_F, weight_F = (
        np.concatenate([getattr(curve, name) for curve in curves]) for name in ("level_F", "onset_F", "weight_F")
    )
    for border in np.cumsum([len(curve.level_F) for curve in curves[:-1]]).tolist():
        _fade(level_F[max(0, border - FADE) : border], level_F[border])
    return Curve(level_F, onset_F, weight_F)


def _fade(level_F: Floats, end: float) -> None:
    """Let a level go down to another one in a straight line, in place; one that is below it stays."""
    if not len(level_F) or level_F[0] <= end:
        return
    line_F = np.linspace(level_F[0], end, len(level_F) + 1, dtype=np.float32)[:-1]
    np.minimum(level_F, line_F, out=level_F)


def _change(pair_2D: AnyFloats) -> float:
    before_D, after_D = np.asarray(pair_2D, np.float64)
    length = float(np.linalg.norm(before_D) * np.linalg.norm(after_D))
    return 1 - float(before_D @ after_D) / max(length, 1e-12)
