"""VGGish: published names and sizes; the values of torchvggish."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers_networks import seeded_sounds, seeded_weights
from networks_oracles import close, expected

from v2a_core.metrics.extractors.networks import vggish
from v2a_core.models import ModelError


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    shapes = {name: tuple(tensor.shape) for name, tensor in vggish.Vggish().state_dict().items()}
    path = tmp_path_factory.mktemp("vggish") / "vggish.pth"
    torch.save(seeded_weights(shapes), path)
    return vggish.load(path)


def test_has_the_published_names_and_sizes(loaded):
    tensors = loaded.state_dict()
    assert sum(tensor.numel() for tensor in tensors.values()) == 72_141_184
    convolutions = [f"features.{number}.{part}" for number in (0, 3, 6, 8, 11, 13) for part in ("weight", "bias")]
    layers = [f"embeddings.{number}.{part}" for number in (0, 2, 4) for part in ("weight", "bias")]
    assert list(tensors) == convolutions + layers
    assert tensors["features.0.weight"].shape == (64, 1, 3, 3)
    assert tensors["embeddings.4.weight"].shape == (128, 4096)


def test_the_front_end_equals_the_original():
    theirs = expected("vggish")
    for number, sound in enumerate(seeded_sounds([2.5, 1.0])):
        ours = vggish.log_mel_patches(sound)[:, ::8, ::4]
        np.testing.assert_allclose(ours, theirs[f"patches_{number}"], atol=1e-6)


def test_equals_the_original_network_and_front_end(loaded):
    theirs = expected("vggish")
    ours = loaded.embed(seeded_sounds([2.5, 1.0]), 16_000)
    assert ours["sound"].tolist() == [0, 0, 1]
    close(ours["embedding"], np.concatenate([theirs["embedding_0"], theirs["embedding_1"]]))
    assert ours["embedding"].min() < 0  # before the last ReLU


def test_ten_seconds_have_ten_patches_and_less_than_one_has_none(loaded):
    assert vggish.log_mel_patches(np.zeros(160_000, np.float32)).shape == (10, 96, 64)
    assert len(vggish.log_mel_patches(np.zeros(15_600, np.float32))) == 1
    assert len(vggish.log_mel_patches(np.zeros(15_599, np.float32))) == 0
    short, long = seeded_sounds([0.5, 1.5])
    found = loaded.embed([short, long], 16_000)
    assert found["sound"].tolist() == [1]
    assert loaded.embed([short], 16_000)["embedding"].shape == (0, 128)


def test_it_hears_the_level(loaded):
    (sound,) = seeded_sounds([1.0])
    loud, soft = (loaded.embed([np.float32(gain) * sound], 16_000)["embedding"] for gain in (1, 0.1))
    assert np.abs(loud - soft).max() > 0.1


def test_other_rates_are_resampled(loaded):
    (sound,) = seeded_sounds([1.2], 44_100)
    assert loaded.embed([sound], 44_100)["embedding"].shape == (1, 128)


def test_says_what_is_wrong_with_a_checkpoint(tmp_path):
    torch.save({"pca_eigen_vectors": torch.zeros(128, 128)}, tmp_path / "pca.pth")
    with pytest.raises(ModelError, match=r"holds no VGGish.*'features.0.weight'.*vggish-10086976.pth"):
        vggish.load(tmp_path / "pca.pth")
