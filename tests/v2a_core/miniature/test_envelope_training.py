"""Training of the adapter: on a finished bundle, which gets it and stays otherwise as it is."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_audioldm import edit_json
from safetensors.torch import load_file

from v2a_core.generators import load_generator
from v2a_core.generators.adapters import check_adapter, read_config
from v2a_core.generators.audioldm.config import AudioLdmSettings
from v2a_core.media.log_mel import SAMPLE_RATE
from v2a_core.miniature import init_miniature
from v2a_core.miniature.training import data, envelope, run
from v2a_core.models import check_weights, digests, load_bundle
from v2a_core.protocols import Track
from v2a_core.timing.envelope import envelope as envelope_of
from v2a_core.training.adapter_config import AdapterOptimizer

QUICK = envelope.TRAINING.model_copy(
    update={"max_steps": 3, "global_batch": 2, "optimizer": AdapterOptimizer(learning_rate=1e-2, ema_decay=0.5)}
)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def trained(work: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained bundle with an adapter of three steps."""
    folder = tmp_path_factory.mktemp("bundle")
    init_miniature(folder)
    with pytest.MonkeyPatch.context() as patch:
        few(patch)
        run.train_on_bundle("envelope", folder, work, 0)
        run.add_to_bundle("envelope", folder, work, 0)
    return folder


def few(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(envelope, "TRAINING", QUICK)
    patch.setattr(envelope, "SOUNDS", 6)
    patch.setattr(envelope, "HELD_OUT", 3)


@pytest.mark.slow
def test_a_bundle_gets_an_adapter_that_fits_it(trained: Path) -> None:
    local = load_bundle(str(trained)).resolve()
    check_weights(local)
    assert local.adapter is not None
    config = check_adapter(local.adapter, local)
    assert config.training["sounds"] == 6
    assert config.training["steps"] == 3
    assert {"validation_loss", "validation_loss_free", "validation_loss_others"} <= set(config.training)
    assert set(local.fingerprints()) == {"vision", "audio", "generator", "adapter"}
    sums = json.loads((trained / "checksums.json").read_text())
    assert set(sums) == {"adapter/adapter.safetensors", "adapter/config.json"}
    size = sum(path.stat().st_size for path in (trained / "adapter").iterdir())
    assert size < 1.5e6


@pytest.mark.slow
def test_a_changed_adapter_is_noticed(trained: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(trained, tmp_path / "bundle")
    edit_json(folder / "adapter" / "config.json", width=7)
    bundle = load_bundle(str(folder))
    with pytest.raises(ValueError, match=r"adapter: .*is damaged or was changed"):
        bundle.resolve()


@pytest.mark.slow
def test_it_steers_the_generator(trained: Path) -> None:
    local = load_bundle(str(trained)).resolve()
    generator = load_generator(local, AudioLdmSettings(num_inference_steps=2, precision="fp32"), adapter=local.adapter)
    waveform_T = data.render_sound(data.sample(data.world(0), "train", 2), length_s=1.0)
    plain = Track(np.ones((1, 512), np.float32), [0], [0.0], 1.0)
    steered = replace(plain, curve=envelope_of(waveform_T, SAMPLE_RATE))
    free_T, made_T = generator.generate_tracks([plain, steered], 0.0)
    assert np.abs(free_T - made_T).max() > 1e-5


@pytest.mark.slow
def test_a_finished_stage_is_not_trained_again_and_the_same_seed_gives_the_same_weights(
    trained: Path, work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few(monkeypatch)
    file = work / "envelope" / "adapter.safetensors"
    before = load_file(file)
    run.train_on_bundle("envelope", trained, work, 0)
    assert "envelope: done before" in capsys.readouterr().out
    for name in ("done.json", "adapter.safetensors"):
        (work / "envelope" / name).unlink()
    run.train_on_bundle("envelope", trained, work, 0)
    after = load_file(file)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.slow
def test_a_work_folder_of_another_generator_is_refused(trained: Path, work: Path, tmp_path: Path) -> None:
    init_miniature(tmp_path, seed=5)
    with pytest.raises(ValueError, match="is of another generator than that of"):
        run.train_on_bundle("envelope", tmp_path, work, 0)


def test_the_shipped_adapter_is_the_generators_own() -> None:
    local = load_bundle("miniature").resolve()
    assert local.adapter is not None
    assert check_adapter(local.adapter, local) == read_config(local.adapter)
    sums = json.loads((local.adapter.path.parents[1] / "checksums.json").read_text())
    for name, path in local.adapter.found.files.items():
        assert digests.sha256(path) == sums[f"adapter/{name}"]
    assert sum(path.stat().st_size for path in local.adapter.found.files.values()) < 1.5e6
