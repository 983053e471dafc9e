"""Training of the predictor of curves: on a finished bundle's CLIP, which gets it and stays otherwise as it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from v2a_core.media.log_mel import SAMPLE_RATE
from v2a_core.miniature import init_miniature
from v2a_core.miniature.training import on_bundle, predictor, run
from v2a_core.miniature.watching import watch
from v2a_core.miniature.world import WorldSettings, render_sound, sample
from v2a_core.models import check_weights, digests, fetch_bundle, load_bundle
from v2a_core.timing.envelope import level
from v2a_core.timing.predictors import build
from v2a_core.timing.predictors.gru import GruSettings
from v2a_core.training.config import CheckpointSettings
from v2a_core.training.history import ValidationRow

QUICK = predictor.TRAINING.model_copy(
    update={"max_steps": 3, "global_batch": 2, "checkpoints": CheckpointSettings(every_steps=1)}
)


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
        run.train_on_bundle("predictor", folder, work, 0)
        run.add_to_bundle("predictor", folder, work, 0)
    return folder


def few(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(predictor, "TRAINING", QUICK)
    patch.setattr(predictor, "SCENES", 4)
    patch.setattr(predictor, "HELD_OUT", 3)


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_finished_stage_is_kept_and_one_that_was_stopped_goes_on_to_the_same_weights(
    trained: Path, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few(monkeypatch)
    file = work / "predictor" / "predictor.safetensors"
    before = load_file(file)
    run.train_on_bundle("predictor", trained, work, 0)
    assert "predictor: done before" in capsys.readouterr().out
    again = shutil.copytree(work, tmp_path / "work")
    for name in ("done.json", "predictor.safetensors", "train-ink-000003-000004.npz"):
        (again / "predictor" / name).unlink()
    keep = on_bundle._keep

    def stop(name: str, metrics: ValidationRow, made: Path | None, folder: Path) -> None:
        keep(name, metrics, made, folder)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(on_bundle, "_keep", stop)
        with pytest.raises(KeyboardInterrupt):
            run.train_on_bundle("predictor", trained, again, 0)
    assert capsys.readouterr().out.splitlines()[0] == "predictor: train-ink-000003-000004"
    assert [path.name for path in (again / "predictor").glob("step-*")] == ["step-000001-between"]
    run.train_on_bundle("predictor", trained, again, 0)
    assert "predictor: train" not in capsys.readouterr().out
    after = load_file(again / "predictor" / "predictor.safetensors")
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert not list((again / "predictor").glob("step-*"))


@pytest.mark.slow
def test_a_work_folder_of_another_encoder_is_refused(trained: Path, work: Path, tmp_path: Path) -> None:
    init_miniature(tmp_path, seed=5)
    with pytest.raises(ValueError, match="is of another vision than that of"):
        run.train_on_bundle("predictor", tmp_path, work, 0)


def test_the_last_scenes_are_in_the_other_style_and_each_comes_once() -> None:
    parts = predictor.styled("train", 400)
    assert [index for part in parts for index in part.indices] == list(range(400))
    assert {index for part in parts for index in part.indices if part.style == "ink"} == set(range(300, 400))


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
