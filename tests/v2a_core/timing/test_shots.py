"""A cut between two shots is no event, and neither shot is told of the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from helpers_predictor import watched

from v2a_core.protocols import CURVE_HZ, Curve, Watched
from v2a_core.timing.predictors.grid import curve_frames
from v2a_core.timing.predictors.motion import MotionPredictor, MotionSettings
from v2a_core.timing.predictors.shots import FADE, ShotByShot, behind_each_other, cuts_of, shots_of

CUT = 0.3


def joined(shots: Sequence[Watched], cut: float = CUT, first: float = 0.0) -> Watched:
    """A segment of several shots, each with a picture of its own."""
    starts_s = np.cumsum([0.0, *(shot.length_s for shot in shots)])
    times = [shot.times_s_N + start_s for shot, start_s in zip(shots, starts_s, strict=False)]
    motion = [np.concatenate([[cut if number else first], shot.motion_N[1:]]) for number, shot in enumerate(shots)]
    frames_ND = np.concatenate([shot.frames_ND for shot in shots if shot.frames_ND is not None])
    return Watched(
        np.concatenate(times).astype(np.float32), np.concatenate(motion).astype(np.float32), frames_ND, starts_s[-1]
    )


def calm(length_s: float, seed: int) -> Watched:
    """Something that moves a little, then more, then less."""
    seen = watched(length_s, seed=seed)
    motion_N = (0.02 + 0.015 * np.sin(np.arange(len(seen.motion_N)))).astype(np.float32)
    motion_N[0] = 0
    return dataclasses.replace(seen, motion_N=motion_N)


def test_each_shot_gets_the_curve_it_has_alone() -> None:
    parts = [calm(2.0, 1), calm(1.3, 2), calm(1.74, 3)]
    inner = MotionPredictor(MotionSettings())
    predictor = ShotByShot(inner, 0.05)
    whole, other = predictor.predict([joined(parts), parts[0]])
    alone = inner.predict(parts)
    expected = behind_each_other(alone)
    for name in ("level_F", "onset_F", "weight_F"):
        np.testing.assert_allclose(getattr(whole, name), getattr(expected, name), atol=1e-5)
        np.testing.assert_array_equal(getattr(other, name), getattr(alone[0], name))
    assert len(whole.level_F) == curve_frames(5.04)
    assert inner.predict([joined(parts)])[0].onset_F[97] == 1  # what a cut is to a predictor that is shown it
    assert whole.onset_F[97] == 0


def test_a_cut_before_the_first_frame_is_no_motion_of_the_segment() -> None:
    inner, alone = MotionPredictor(MotionSettings()), calm(2.0, 1)
    (shot,) = shots_of(joined([alone], first=CUT), 0.05)
    assert shot.seen.motion_N[0] == 0
    (curve,), (expected,) = ShotByShot(inner, 0.05).predict([joined([alone], first=CUT)]), inner.predict([alone])
    np.testing.assert_array_equal(curve.level_F, expected.level_F)


def test_a_level_fades_before_a_softer_shot_and_before_no_other() -> None:
    def steady(level: float) -> Curve:
        level_F = np.full(30, level, np.float32)
        return Curve(level_F, np.zeros_like(level_F), np.ones_like(level_F))

    loud_F, soft_F, louder_F = np.split(behind_each_other([steady(0.9), steady(0.1), steady(0.5)]).level_F, 3)
    assert (loud_F[: -FADE + 1] == np.float32(0.9)).all()
    assert (np.diff(loud_F[-FADE:]) < 0).all()
    assert 0.1 < loud_F[-1] < 0.2
    np.testing.assert_array_equal(soft_F, steady(0.1).level_F)
    np.testing.assert_array_equal(louder_F, steady(0.5).level_F)
    whole = steady(0.9)
    assert behind_each_other([whole]) is whole
    dip_F = np.split(behind_each_other([steady(0.05), steady(0.1)]).level_F, 2)[0]
    np.testing.assert_array_equal(dip_F, steady(0.05).level_F)


def test_what_moves_flashes_or_shows_the_same_is_not_cut() -> None:
    seen = joined([calm(2.0, 1), calm(2.0, 2)])
    assert cuts_of(seen, 0.05) == [20]
    assert cuts_of(dataclasses.replace(seen, frames_ND=None), 0.05) == [20]
    assert cuts_of(seen, 1.0) == []

    def moving(**motion: float) -> Watched:
        motion_N = seen.motion_N.copy()
        for name, value in motion.items():
            motion_N[int(name[1:])] = value
        return dataclasses.replace(seen, motion_N=motion_N)

    assert cuts_of(moving(_20=0.04), 0.05) == []
    assert cuts_of(moving(_21=CUT), 0.05) == []  # there and gone
    assert cuts_of(moving(_18=0.2), 0.05) == []
    assert cuts_of(moving(_20=0.0, _10=CUT), 0.05) == []  # much moves, and it is still the same picture
    assert shots_of(moving(_20=0.0), 0.05)[0].seen.length_s == 4


def test_frames_at_odd_times_fill_the_curve_of_their_segment() -> None:
    class Counting:
        def predict(self, seen: Sequence[Watched]) -> list[Curve]:
            assert all(len(shot.times_s_N) == len(shot.motion_N) for shot in seen)
            return [Curve(*np.ones((3, curve_frames(shot.length_s)), np.float32)) for shot in seen]

    for length_s, cut_s in ((1.03, 0.517), (3.999, 3.998), (0.3, 0.001), (2.0, 0.777)):
        parts = [calm(1.0, 1), calm(1.0, 2)]
        times_s_N = np.concatenate([np.linspace(0, 0.99 * cut_s, 10), np.linspace(cut_s, length_s, 10)])
        seen = dataclasses.replace(joined(parts), times_s_N=times_s_N.astype(np.float32), length_s=length_s)
        (curve,) = ShotByShot(Counting(), 0.05).predict([seen])
        assert len(curve.level_F) == np.ceil(length_s * CURVE_HZ)
