"""Training of the predictor of curves: on a finished bundle's CLIP, which gets it and stays otherwise as it is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from v2a_core.media.log_mel import SAMPLE_RATE
from v2a_core.miniature import init_miniature
from v2a_core.miniature.training import predictor, run
from v2a_core.miniature.watching import watch
from v2a_core.miniature.world import WorldSettings, render_sound, sample
from v2a_core.models import check_weights, digests, fetch_bundle, load_bundle
from v2a_core.timing.envelope import level
from v2a_core.timing.predictors import build
from v2a_core.timing.predictors.gru import GruSettings

QUICK = replace(predictor.PLAN, steps=3, batch=2, warmup=1, ema=0.5, validate_every=2)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def trained(work: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained bundle with a predictor of three steps."""
    folder = tmp_path_factory.mktemp("bundle")
    init_miniature(folder)
    with pytest.MonkeyPatch.context() as patch:
        few(patch)
        run.run_on_bundle("predictor", folder, work, 0)
    return folder


def few(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(predictor, "PLAN", QUICK)
    patch.setattr(predictor, "SCENES", 4)
    patch.setattr(predictor, "HELD_OUT", 3)


def test_a_bundle_gets_a_predictor_that_fits_it_and_copies_take_it_along(trained: Path, tmp_path: Path) -> None:
    local = load_bundle(str(trained)).resolve()
    check_weights(local)
    config = GruSettings().described(local)
    assert (config.training["scenes"], config.training["steps"]) == (4, 3)
    assert {"validation_correlation", "validation_onsets"} <= set(config.training)
    assert 0 < config.sure_spread < 1
    assert set(local.fingerprints()) == {"vision", "audio", "generator", "predictor"}
    sums = json.loads((trained / "checksums.json").read_text())
    assert set(sums) == {"predictor/predictor.safetensors", "predictor/config.json"}
    fetch_bundle(load_bundle(str(trained)), str(tmp_path / "copy"))
    copy = load_bundle(str(tmp_path / "copy")).resolve()
    assert copy.fingerprints() == local.fingerprints()
    assert GruSettings().described(copy) == config


def test_the_same_seed_gives_the_same_weights_and_a_finished_stage_is_kept(
    trained: Path, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few(monkeypatch)
    file = trained / "predictor" / "predictor.safetensors"
    before = file.read_bytes()
    run.run_on_bundle("predictor", trained, work, 0)
    assert "predictor: done before" in capsys.readouterr().out
    assert file.read_bytes() == before
    (tmp_path / "before.safetensors").write_bytes(before)
    for name in ("done.json", "weights.safetensors"):
        (work / "predictor" / name).unlink()
    run.run_on_bundle("predictor", trained, work, 0)
    first, again = load_file(tmp_path / "before.safetensors"), load_file(file)
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_a_work_folder_of_another_encoder_is_refused(trained: Path, work: Path, tmp_path: Path) -> None:
    init_miniature(tmp_path, seed=5)
    with pytest.raises(ValueError, match="is of another vision than that of"):
        run.run_on_bundle("predictor", tmp_path, work, 0)


def test_pieces_of_sounds_are_told_in_shares_of_their_own_loudest_moment() -> None:
    sound_T = render_sound(sample(WorldSettings(), "train", 2), length_s=4.0, sample_rate=SAMPLE_RATE)
    sound_T[: 2 * SAMPLE_RATE] *= np.float32(0.1)
    piece_F = predictor.loudest_is_1(level(sound_T)[None, 5:90])[0]
    np.testing.assert_allclose(piece_F, level(sound_T[: 2 * SAMPLE_RATE])[5:90], atol=0.02)
    assert piece_F.max() == pytest.approx(1)


def test_the_last_quarter_of_the_scenes_is_in_the_other_style_and_each_comes_once() -> None:
    parts = list(predictor.styled(40))
    assert [index for indices, _ in parts for index in indices] == list(range(40))
    assert {index for indices, style in parts for index in indices if style == "ink"} == set(range(30, 40))


def test_levels_are_alike_when_they_rise_and_fall_together_and_those_that_stay_are_like_none() -> None:
    real_2F = torch.from_numpy(np.stack([np.sin(np.arange(50)), np.full(50, 0.5)]).astype(np.float32))
    alike_2 = predictor.alike(0.1 + 0.5 * real_2F, real_2F)
    assert alike_2[0] == pytest.approx(1, abs=1e-3)
    assert alike_2[1] == pytest.approx(0, abs=1e-3)
    assert predictor.alike(-real_2F, real_2F)[0] == pytest.approx(-1, abs=1e-3)


def test_the_shipped_predictor_is_the_encoders_own_and_tells_when_drums_are_struck() -> None:
    local = load_bundle("miniature").resolve()
    assert local.predictor is not None
    sums = json.loads((local.predictor.path.parents[1] / "checksums.json").read_text())
    parts = [part for part in (local.adapter, local.predictor) if part is not None]
    files = {f"{path.parent.name}/{path.name}": path for part in parts for path in part.found.files.values()}
    assert all(digests.sha256(path) == sums[name] for name, path in files.items())
    assert sum(path.stat().st_size for path in files.values()) < 3e6
    settings, scenes = GruSettings(), [sample(WorldSettings(seed=7), "test", 9 + 12 * number) for number in range(6)]
    from v2a_core.encoders import EncoderSettings, build_vision

    encoder = build_vision(local, EncoderSettings())
    seen = watch(scenes, encoder, settings.rate(local), 5.0, encoder.image_size)
    curves = build(settings, local).predict(seen)
    real = [level(render_sound(scene, length_s=5.0, sample_rate=SAMPLE_RATE)) for scene in scenes]
    alike = [np.corrcoef(curve.level_F, real_F)[0, 1] for curve, real_F in zip(curves, real, strict=True)]
    assert {scene.kind for scene in scenes} == {"drum"}
    assert np.mean(alike) > 0.6
    assert min(curve.weight_F.mean() for curve in curves) > 0.5
