"""The shipped bundle passes each check; each planted fault is found, and its cause is named."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soxr
import torch
from helpers_audioldm import edit_json
from helpers_original import Original
from PIL import Image
from safetensors.torch import load_file, save_file

import v2a_core.media.image
import v2a_core.media.resample
from v2a_core.generators.audioldm.generator import AudioLdmGenerator
from v2a_core.generators.audioldm.layout import PARTS
from v2a_core.generators.audioldm.original import OriginalCheckpoint
from v2a_core.inspection import decoding, denoising, files, hearing, origin, seeing
from v2a_core.inspection.material import Material, draw
from v2a_core.inspection.opened import Opened
from v2a_core.inspection.rows import Row
from v2a_core.inspection.run import PICTURES, inspect, open_bundle
from v2a_core.models import load_bundle

WEIGHTS = Path(v2a_core.__file__).parent / "miniature" / "weights"
QUICK = 2  # sounds; of two kinds


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A copy of the shipped bundle, to plant a fault in; its list of checksums stays behind."""
    return Path(shutil.copytree(WEIGHTS, tmp_path / "bundle", ignore=shutil.ignore_patterns("checksums.json", "judge")))


@functools.cache
def drawn(sounds: int, pictures: int) -> Material:
    return draw(sounds, pictures)


def opened(folder: Path, sounds: int = QUICK, pictures: int = 0) -> Opened:
    bundle = load_bundle(str(folder))
    return Opened(bundle, bundle.resolve(), drawn(sounds, pictures))


def wrong(rows: Sequence[Row]) -> list[str]:
    return [f"{row.name}: {row.advice}" for row in rows if row.verdict == "wrong"]


def change(file: Path, name: str, tensor: torch.Tensor) -> None:
    save_file({**load_file(file), name: tensor.contiguous()}, file)


def test_quick_gelu_off_is_found(planted):
    assert wrong(seeing.check_activation(opened(planted, 0, PICTURES))) == []
    config = planted / "vision" / "open_clip_config.json"
    said = json.loads(config.read_text())
    config.write_text(json.dumps({**said, "model_cfg": {**said["model_cfg"], "quick_gelu": False}}))
    (found,) = wrong(seeing.check_activation(opened(planted, 0, PICTURES)))
    assert "QuickGELU is off" in found


def test_bicubic_without_antialias_is_found(planted, monkeypatch):
    looked = opened(planted, 0)
    assert wrong([*seeing.check_pixels(looked), *seeing.check_embedding(looked)]) == []

    def without_antialias(image: Image.Image, size: int) -> np.ndarray:
        pixels = torch.from_numpy(np.asarray(image, np.float32)).permute(2, 0, 1)[None]
        wide = size * image.width // image.height
        small = torch.nn.functional.interpolate(pixels, (size, wide), mode="bicubic").clamp(0, 255)
        left = round((wide - size) / 2)
        return small[0, :, :, left : left + size].permute(1, 2, 0).round().byte().numpy()

    monkeypatch.setattr(v2a_core.media.image, "fit", without_antialias)
    assert "bicubic without antialias" in wrong(seeing.check_pixels(looked))[0]
    assert wrong(seeing.check_embedding(looked))


def test_soxr_is_found(planted, monkeypatch):
    looked = opened(planted, 0)
    assert wrong(hearing.check_resampling(looked)) == []
    monkeypatch.setattr(
        v2a_core.media.resample,
        "sinc_resample",
        lambda waveform, rate, new: soxr.resample(waveform, rate, new, quality="HQ").astype(np.float32),
    )
    assert "soxr instead of the windowed sinc" in wrong(hearing.check_resampling(looked))[0]


def test_a_wrong_scale_factor_is_found(planted):
    assert wrong(denoising.check_spread(opened(planted))) == []
    edit_json(planted / "generator" / "vae" / "config.json", scaling_factor=0.5)
    (found,) = wrong(denoising.check_spread(opened(planted)))
    assert "scale factor is wrong: scaling_factor is 0.5, these sounds say about" in found


@pytest.mark.slow
def test_shuffled_mel_bins_are_found(planted):
    assert wrong(decoding.check_round_trip(opened(planted))) == []
    file = planted / "generator" / "vocoder" / "model.safetensors"
    first = load_file(file)["conv_pre.weight"]
    change(
        file, "conv_pre.weight", first[:, torch.randperm(first.shape[1], generator=torch.Generator().manual_seed(0))]
    )
    (found,) = wrong(decoding.check_round_trip(opened(planted)))
    assert found.startswith("log-mels through the vocoder: mel bins are shuffled")


def test_a_null_condition_of_zeros_is_found(planted, monkeypatch):
    looked = opened(planted, 0)
    assert wrong(denoising.check_null(looked)) == []
    monkeypatch.setattr(AudioLdmGenerator, "null_embedding", np.zeros(512, np.float32))
    assert "the null condition is zero" in wrong(denoising.check_null(looked))[0]


def test_a_text_tower_of_another_clap_is_found(planted):
    assert wrong(files.check_space(opened(planted, 0))) == []
    file = planted / "generator" / "text_encoder" / "model.safetensors"
    other = {
        name: torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1))
        if tensor.is_floating_point()
        else tensor
        for name, tensor in load_file(file).items()
    }
    save_file(other, file)
    looked = opened(planted, 12)
    assert "the text tower is another CLAP's" in wrong(files.check_space(looked))[0]
    assert "the text tower is another CLAP's" in wrong(hearing.check_zero_shot(looked))[0]


@pytest.mark.slow
def test_swapped_q_and_k_are_found(planted):
    assert wrong(denoising.check_layouts(opened(planted, 12))) == []
    file = planted / "generator" / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({denoising._exchanged(name): tensor for name, tensor in load_file(file).items()}, file)
    assert any("q and k are swapped" in line for line in wrong(denoising.check_layouts(opened(planted, 12))))


@pytest.mark.slow
def test_eight_heads_where_there_are_four_are_found(planted):
    edit_json(planted / "generator" / "unet" / "config.json", attention_head_dim=8)
    found = wrong(denoising.check_layouts(opened(planted, 12)))
    assert any("set attention_head_dim: 4 in unet/config.json" in line for line in found)


@pytest.mark.slow
def test_raw_weights_instead_of_averaged_are_found(planted, tmp_path):
    checkpoint = Original(32, 32).save(tmp_path / "original.ckpt")
    for weights in ("ema", "raw"):
        hub_folder(planted / "generator", OriginalCheckpoint(checkpoint, tmp_path, weights))
        rows = origin.check_origin(dataclasses.replace(opened(planted, 0), checkpoint=checkpoint))
        assert [row.verdict for row in rows[1:]] == ["right"] * 4
        found = wrong(rows)
        assert (found == []) if weights == "ema" else ("raw weights instead of EMA" in found[0])


def hub_folder(folder: Path, source: OriginalCheckpoint) -> None:
    """A checkpoint's parts as the hub has them."""
    for part in PARTS:
        shutil.rmtree(folder / part)
        (folder / part).mkdir()
        tensors = {name: tensor.clone().contiguous() for name, tensor in source.tensors(part).items()}
        save_file(tensors, folder / part / "model.safetensors")
        (folder / part / "config.json").write_text(json.dumps(source.config(part)))


def test_a_changed_file_is_found(tmp_path):
    folder = Path(shutil.copytree(WEIGHTS, tmp_path / "bundle"))
    (tmp_path / "own.yaml").write_text((folder / "bundle.yaml").read_text() + f"root: {folder}\n")
    bundle = load_bundle(str(tmp_path / "own.yaml"))
    looked = Opened(bundle, bundle.resolve(), Material([], []))
    assert {row.verdict for row in files.check_hashes(looked)} == {"right"}
    edit_json(folder / "generator" / "vae" / "config.json", scaling_factor=0.5)
    assert any("vae/config.json of generator: changed or damaged" in line for line in wrong(files.check_hashes(looked)))


def test_what_cannot_be_checked_says_what_to_give(planted):
    rows = list(inspect(opened(planted, 0), [denoising.check_conditions, hearing.check_zero_shot, origin.check_origin]))
    assert {row.verdict for row in rows} == {"not checked"}
    assert all("--sounds FOLDER" in row.advice or "--checkpoint FILE" in row.advice for row in rows)


@pytest.mark.slow
@pytest.mark.timeout(1200)  # two minutes of a processor, and more beside others
def test_the_miniature_passes():
    rows = list(inspect(open_bundle(load_bundle("miniature"), device="cpu")))
    assert wrong(rows) == []
    assert sum(row.verdict == "right" for row in rows) > 20
