"""Bundles whose weights are no numbers, or whose configurations are no configurations."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch

from v2a_core import encoders
from v2a_core.encoders.config import EncoderSettings
from v2a_core.generators import load_generator
from v2a_core.generators.audioldm.config import AudioLdmSettings
from v2a_core.models import check_weights, load_bundle
from v2a_core.models.checkpoints import load_tensors
from v2a_core.models.errors import ModelError
from v2a_core.models.finite import DamagedWeightsError, first_not_finite
from workflows.cli.main import main

SHIPPED = Path(load_bundle("miniature").base)


@pytest.fixture
def bundle(tmp_path, monkeypatch) -> Path:
    """A copy of the miniature bundle, and a cache of its own."""
    monkeypatch.setenv("V2A_CACHE", str(tmp_path / "cache"))
    local = load_bundle("miniature").resolve()
    folder = tmp_path / "bundle"
    for name in ("vision", "audio", "generator"):
        for inside, path in local.parts()[name].found.files.items():
            (folder / name / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name / inside)
    (folder / "bundle.yaml").write_text(
        "name: copy\nvision: {model: ViT-miniature, weights: ./vision}\n"
        "audio: {weights: ./audio}\ngenerator: {weights: ./generator}\n"
    )
    return folder


def spoil(path: Path, part: str = "") -> str:
    """Put a NaN into a file, into a tensor with `part` in its name; returns that."""
    pickled = path.suffix != ".safetensors"
    tensors = load_tensors(path)
    name = sorted(name for name, tensor in tensors.items() if tensor.is_floating_point() and part in name)[-1]
    tensors = {key: tensor.clone() for key, tensor in tensors.items()}
    tensors[name].view(-1)[-1] = float("nan")
    if pickled:
        torch.save(tensors, path)
    else:
        safetensors.torch.save_file(tensors, path, {"format": "pt"})
    return name


def weights(folder: Path) -> Path:
    (path,) = [path for path in folder.iterdir() if path.suffix in (".safetensors", ".pt")]
    return path


@pytest.mark.parametrize("component", ["vision", "audio", "generator/unet", "generator/vae", "generator/vocoder"])
def test_a_bundle_with_nan_is_refused_by_file_and_tensor(bundle, component):
    check_weights(load_bundle(str(bundle)).resolve())
    path = weights(bundle / component)
    name = spoil(path)
    for _ in range(2):  # the second time out of the cache
        with pytest.raises(DamagedWeightsError) as caught:
            check_weights(load_bundle(str(bundle)).resolve())
        assert f"{path.name}: the tensor {name} holds" in str(caught.value)


def test_a_job_ends_with_the_sentence(bundle, tmp_path, capsys):
    name = spoil(weights(bundle / "audio"))
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(50))
    command = ["embed", str(tmp_path / "clip.mp4"), "--output", str(tmp_path / "e"), "--models", str(bundle)]
    assert main(command) == 1
    told = capsys.readouterr().err
    assert f"the tensor {name} holds numbers that are NaN or infinite" in told
    assert len(told.strip().splitlines()) == 1
    assert not (tmp_path / "e" / "manifest.json").exists()


@pytest.mark.parametrize(
    "name", ["vision/open_clip_config.json", "audio/clap_config.json", "generator/unet/config.json"]
)
def test_a_configuration_of_gigabytes_is_not_read(bundle, name):
    with (bundle / name).open("wb") as file:
        file.truncate(8 * 2**30)
    with pytest.raises(ModelError, match=r"has 8,589,934,592 bytes, a JSON document has 67,108,864 at most"):
        load_bundle(str(bundle)).resolve()


def test_numbers_that_sum_up_to_infinity_are_finite():
    large = torch.full((10_000,), 6e4, dtype=torch.float16)
    assert first_not_finite([("large", large), ("count", torch.ones(3, dtype=torch.int64))]) is None
    assert first_not_finite([("attn_mask", torch.tensor([0.0, -torch.inf]))]) is None
    assert first_not_finite([("good", large), ("bad", torch.tensor([torch.inf, -torch.inf]))]) == "bad"


LOADERS = {
    "vision": lambda local: encoders.build_vision(local, EncoderSettings(), "cpu"),
    "audio": lambda local: encoders.build_audio(local, EncoderSettings(), "cpu"),
    "generator/unet": lambda local: load_generator(local, AudioLdmSettings()),
}


@pytest.mark.parametrize("component", LOADERS)
def test_whoever_loads_a_part_of_it_is_told(bundle, component):
    spoil(weights(bundle / component), "audio_branch" if component == "audio" else "")
    local = load_bundle(str(bundle)).resolve()
    with pytest.raises(DamagedWeightsError, match="NaN or infinite"):
        LOADERS[component](local)
