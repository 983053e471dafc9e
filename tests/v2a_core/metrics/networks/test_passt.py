"""PaSST: published names and sizes; the values of hear21passt with torchaudio's Kaldi filters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers_networks import blank_weights, seeded_sounds, seeded_weights
from networks_oracles import close, expected

from v2a_core.metrics.extractors.networks import passt
from v2a_core.models import ModelError


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    shapes = {name: tuple(tensor.shape) for name, tensor in passt.Passt().state_dict().items()}
    file = tmp_path_factory.mktemp("passt") / "passt.pt"
    torch.save(seeded_weights(shapes), file)
    return passt.load(file)


def test_has_the_published_names_and_sizes():
    with torch.device("meta"):
        network = passt.Passt()
    tensors = network.state_dict()
    assert len(tensors) == 159
    assert sum(parameter.numel() for parameter in network.parameters()) == 86_153_758
    assert tensors["patch_embed.proj.weight"].shape == (768, 1, 16, 16)
    assert tensors["time_new_pos_embed"].shape == (1, 768, 1, 99)
    assert tensors["head.1.weight"].shape == (527, 768)
    assert tensors["head_dist.weight"].shape == (527, 768)


def test_the_front_end_equals_the_original():
    (sound,) = seeded_sounds([4.0], 32_000)
    whole = np.pad(sound, (0, 320_000 - len(sound)))
    ours = passt.LogMel()(torch.from_numpy(whole)[None])[0, ::8, ::16].numpy()
    np.testing.assert_allclose(ours, expected("passt")["mel"], atol=1e-4)


@pytest.mark.slow
def test_equals_the_original_network_and_front_end(loaded):
    theirs = expected("passt")
    sounds = seeded_sounds([4.0], 32_000)
    ours = loaded.embed(sounds, 32_000)
    close(ours["embedding"], theirs["embedding"])
    close(ours["logits"], theirs["logits"])
    longer = np.concatenate([np.pad(sounds[0], (0, 320_000 - len(sounds[0]))), sounds[0]])  # heard are 10 s
    np.testing.assert_allclose(loaded.embed([longer], 32_000)["logits"], ours["logits"], atol=1e-5)


@pytest.mark.slow
def test_says_what_is_wrong_with_a_checkpoint(loaded, tmp_path):
    blank = blank_weights(loaded.state_dict())
    for message, change in {
        r"holds no PaSST.*'head_dist.weight'.*passt-s-f128": {"head_dist.weight": None},
        r"time_new_pos_embed is \(1, 768, 1, 199\)": {"time_new_pos_embed": torch.zeros(1, 768, 1, 199)},
        "missing: blocks.3.norm1.bias": {"blocks.3.norm1.bias": None},
    }.items():
        changed = {name: tensor for name, tensor in (blank | change).items() if tensor is not None}
        torch.save(changed, tmp_path / "other.pt")
        with pytest.raises(ModelError, match=message):
            passt.load(tmp_path / "other.pt")
