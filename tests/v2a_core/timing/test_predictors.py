"""What every curve predictor must do, and what is refused before one is used."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from helpers_predictor import random_predictor, watched

from v2a_core.config import ConfigError, build
from v2a_core.miniature import init_miniature
from v2a_core.models import LocalBundle, ModelError, load_bundle
from v2a_core.protocols import CURVE_HZ, Curve, CurvePredictor
from v2a_core.timing.predictors import CURVE_PREDICTORS
from v2a_core.timing.predictors import build as build_predictor
from v2a_core.timing.predictors.grid import on_grid
from v2a_core.timing.predictors.gru import GruSettings, peaks
from v2a_core.timing.predictors.motion import MotionPredictor, MotionSettings


@pytest.fixture(scope="module")
def local() -> LocalBundle:
    return load_bundle("miniature").resolve()


@pytest.fixture(scope="module")
def weights(local: LocalBundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_predictor(tmp_path_factory.mktemp("predictor"), local)


@pytest.fixture(scope="module", params=CURVE_PREDICTORS.names())
def predictor(request: pytest.FixtureRequest, local: LocalBundle, weights: Path) -> CurvePredictor:
    values = {"weights": str(weights)} if request.param == "gru" else {}
    settings = build(CURVE_PREDICTORS.settings(request.param), values)
    settings.check(local)
    assert settings.rate(local) == 10
    assert json.dumps(settings.identity(local))
    return build_predictor(settings, local)


def same(first: Curve, second: Curve) -> bool:
    values = [(getattr(first, field.name), getattr(second, field.name)) for field in dataclasses.fields(Curve)]
    return all(np.array_equal(*pair) for pair in values)


def test_a_curve_has_values_in_range_for_all_of_its_segment(predictor: CurvePredictor) -> None:
    for length_s in (5.0, 1.03, 0.04):
        (curve,) = predictor.predict([watched(length_s)])
        for values_F in (curve.level_F, curve.onset_F, curve.weight_F):
            assert values_F.shape == (np.ceil(length_s * CURVE_HZ),)
            assert values_F.dtype == np.float32
            assert values_F.min() >= 0
            assert values_F.max() <= 1
        assert not curve.holds
    assert predictor.predict([]) == []


def test_it_is_the_same_again_and_beside_others(predictor: CurvePredictor) -> None:
    items = [watched(length_s, seed=seed) for seed, length_s in enumerate((2.0, 5.0, 2.0))]
    together = predictor.predict(items)
    assert all(same(curve, predictor.predict([item])[0]) for curve, item in zip(together, items, strict=True))
    assert not same(together[0], together[2])


def test_the_loudest_moment_is_1_and_a_still_says_nothing(predictor: CurvePredictor) -> None:
    seen = watched(3.0)
    (curve,) = predictor.predict([seen])
    assert curve.level_F.max() == pytest.approx(1)
    assert curve.weight_F.max() > 0
    still = dataclasses.replace(
        seen, times_s_N=seen.times_s_N[:1], motion_N=seen.motion_N[:1], frames_ND=seen.frames_ND[:1]
    )
    assert not predictor.predict([still])[0].weight_F.any()


def test_motion_is_loud_where_it_jumps_and_knows_nothing_of_what_is_still_or_steady() -> None:
    predictor = MotionPredictor(MotionSettings())
    seen = watched(4.0)
    still = dataclasses.replace(seen, motion_N=np.full(40, 0.001, np.float32))
    steady = dataclasses.replace(seen, motion_N=np.full(40, 0.05, np.float32))
    jumps, nothing, always = predictor.predict([seen, still, steady])
    assert np.flatnonzero(jumps.onset_F == 1).tolist() == [97]  # between the frames at 1.9 and at 2.0 s
    assert abs(int(jumps.level_F.argmax()) - 97) <= 3
    assert jumps.weight_F.min() == 1
    assert not nothing.weight_F.any()
    assert not always.weight_F.any()


def test_a_network_that_is_unsure_leaves_the_sound_free(local: LocalBundle, tmp_path: Path) -> None:
    for sure, unsure, least, most in ((0.5, 1.0, 1, 1), (0.0, 0.001, 0, 0), (0.0, 1.0, 0.1, 0.95)):
        folder = random_predictor(tmp_path / f"{sure}-{unsure}", local, sure_spread=sure, unsure_spread=unsure)
        (curve,) = build_predictor(GruSettings(weights=str(folder)), local).predict([watched(3.0)])
        assert least <= curve.weight_F.min() <= curve.weight_F.max() <= most


def test_frames_at_odd_times_are_brought_to_even_ones() -> None:
    times_s_N = np.array([0, 0.08, 0.2, 0.28, 0.5], np.float32)
    even = on_grid(times_s_N, times_s_N[:, None], 10.0, 0.8)[:, 0]
    np.testing.assert_allclose(even, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.5], atol=1e-6)
    once = on_grid(np.zeros(1, np.float32), np.ones((1, 2)), 10.0, 0.3)
    np.testing.assert_array_equal(once, np.ones((3, 2)))


def test_onsets_are_the_likeliest_around() -> None:
    chances_F = np.array([0.1, 0.7, 0.9, 0.8, 0.1, 0.1, 0.1, 0.6, 0.4], np.float32)
    assert peaks(chances_F, 0.5).tolist() == [2, 7]
    assert peaks(chances_F, 0.95).tolist() == []


def test_a_predictor_of_other_frames_or_none_is_refused(local: LocalBundle, weights: Path, tmp_path: Path) -> None:
    init_miniature(tmp_path / "bundle")
    other = load_bundle(str(tmp_path / "bundle")).resolve()
    with pytest.raises(ConfigError, match=r"was trained on the vision space .*, bundle 'miniature-untrained' has"):
        GruSettings(weights=str(weights)).check(other)
    with pytest.raises(ConfigError, match=r"'miniature-untrained' has no predictor of curves: say --set predictor"):
        GruSettings().check(other)
    odd = random_predictor(tmp_path / "odd", local, kind="odd")
    with pytest.raises(ConfigError, match="is a curve predictor 'odd': say --timing odd, not gru"):
        GruSettings(weights=str(odd)).check(local)


def test_a_damaged_predictor_is_refused(local: LocalBundle, tmp_path: Path) -> None:
    folder = random_predictor(tmp_path / "damaged", local)
    with (folder / "predictor.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelError, match="is damaged or was changed"):
        GruSettings(weights=str(folder)).check(local)
    (folder / "config.json").write_text('{"unsure_spread": 1, "schema_version": 9}')
    with pytest.raises(ModelError, match="has schema version 9, this program reads 1"):
        GruSettings(weights=str(folder)).check(local)
    (folder / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="is no curve predictor"):
        GruSettings(weights=str(folder)).check(local)
    with pytest.raises(ValueError, match="is no divisor of the 50 values"):
        random_predictor(tmp_path / "rate", local, frames_per_second=8)


def test_motion_alone_is_not_enough_for_the_network(local: LocalBundle, weights: Path) -> None:
    predictor = build_predictor(GruSettings(weights=str(weights)), local)
    with pytest.raises(ValueError, match="and there is motion alone"):
        predictor.predict([watched(1.0, frames_ND=None)])
