"""The miniature bundle: real formats, real classes, repeatable."""

import json

import pytest
import torch
from helpers_models import miniature
from safetensors.torch import load_file

from v2a_core.compute.torchvision_import import prepare_torchvision
from v2a_core.miniature.clap import save_clap
from v2a_core.miniature.clip import save_clip
from v2a_core.miniature.text import build_text_encoder
from v2a_core.models.checkpoints import load_tensors


def test_is_small_and_says_that_it_is_untrained():
    local = miniature()
    assert not local.trained
    size = sum(
        path.stat().st_size
        for part in ("vision", "audio", "generator")
        for path in local.parts()[part].found.files.values()
    )
    assert size < 60e6


def test_clip_folder_is_read_by_open_clip_itself():
    prepare_torchvision()
    import open_clip

    model = open_clip.create_model(f"local-dir:{miniature().vision.path.parent}")
    assert model.visual.image_size == (96, 96)
    assert model.encode_text(open_clip.tokenize(["rain"], context_length=32)).shape == (1, 512)


def test_clap_checkpoint_has_laions_form():
    checkpoint = torch.load(miniature().audio.path, weights_only=True)
    assert all(name.startswith("module.") for name in checkpoint["state_dict"])
    branches = {name.split(".")[1] for name in checkpoint["state_dict"]}
    assert branches == {"audio_branch", "audio_projection", "text_branch", "text_projection"}


def test_generator_folder_has_diffusers_form():
    folder = miniature().generator_path
    index = json.loads((folder / "model_index.json").read_text())
    assert index["text_encoder"] == ["transformers", "ClapTextModelWithProjection"]
    text = load_file(folder / "text_encoder" / "model.safetensors")
    assert {name.split(".")[0] for name in text} == {"text_model", "text_projection"}


@pytest.mark.parametrize("part", ["clip", "clap"])
def test_weights_follow_from_the_seed(tmp_path, part):
    text_encoder, _ = build_text_encoder(0)
    state = torch.get_rng_state()
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        if part == "clip":
            save_clip(tmp_path / name, seed)
        else:
            save_clap(tmp_path / name, seed, text_encoder)
    assert torch.equal(torch.get_rng_state(), state)
    file = "open_clip_model.safetensors" if part == "clip" else "clap_miniature.pt"
    a, b, c = (load_tensors(tmp_path / name / file) for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)
