"""ImageBind: published names and sizes; small towers have the values of its own code and of av-benchmark's inputs."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from helpers_networks import blank_weights, seeded_film, seeded_sounds, seeded_weights
from networks_oracles import close, expected

from v2a_core.metrics.extractors.networks import imagebind, imagebind_inputs
from v2a_core.metrics.extractors.networks.imagebind import Sizes, SoundTower, VideoTower
from v2a_core.models import ModelError
from v2a_core.models.unset import UnsetWeights

SMALL = {SoundTower: Sizes(12, 2, 2, 24), VideoTower: Sizes(16, 2, 2, 24)}


@pytest.fixture(scope="module")
def theirs():
    return expected("imagebind")


@pytest.fixture(scope="module")
def path(theirs, tmp_path_factory):
    """Both towers in one file, beside what the published one holds for other senses."""
    shapes = {
        name: tuple(tensor.shape) for kind, sizes in SMALL.items() for name, tensor in kind(sizes).state_dict().items()
    }
    others = {name: torch.full((1,), torch.nan) for name in theirs["others"].tolist()}
    file = tmp_path_factory.mktemp("imagebind") / "imagebind.pth"
    torch.save(seeded_weights(shapes) | others, file)
    return file


@pytest.mark.parametrize("kind", [SoundTower, VideoTower])
def test_has_the_published_names_and_sizes(kind, theirs):
    with torch.device("meta"), UnsetWeights():
        tower = kind()
    tensors = tower.state_dict()
    lines = sorted(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items())
    assert len(lines) == theirs[f"{tower.modality}_tensors"]
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == str(theirs[f"{tower.modality}_layout"])
    assert sum(tensor.numel() for tensor in tensors.values()) == theirs[f"{tower.modality}_numbers"]


def test_sounds_equal_the_original_network_and_front_end(path, theirs):
    sounds = seeded_sounds([6.3, 3.01, 0.7])
    for sound, mel in zip(sounds, theirs["mel"], strict=True):
        clips = imagebind_inputs.sound_clips(sound)
        assert clips.shape == (3, 1, 128, 204)
        np.testing.assert_allclose(clips[:, 0, ::16, ::8].numpy(), mel, atol=1e-4)
    tower = imagebind.load(SoundTower, path, SMALL[SoundTower])
    close(tower.embed(sounds, 16_000)["embedding"], theirs["audio"])


def test_videos_equal_the_original_network_and_the_crops_of_av_benchmark(path, theirs):
    films = [seeded_film(*size) for size in ((4, 224, 301), (3, 280, 224), (2, 224, 224))]
    assert [len(imagebind_inputs.film_clips(film)) for film in films] == [9, 6, 3]
    tower = imagebind.load(VideoTower, path, SMALL[VideoTower])
    close(tower.embed(films)["embedding"], theirs["vision"])


def test_a_picture_is_a_film_that_stands_still_and_a_sound_may_be_a_moment(path):
    tower = imagebind.load(VideoTower, path, SMALL[VideoTower])
    one = seeded_film(1, 224, 260)
    np.testing.assert_array_equal(tower.embed([one])["embedding"], tower.embed([np.repeat(one, 2, 0)])["embedding"])
    ears = imagebind.load(SoundTower, path, SMALL[SoundTower])
    found = ears.embed([np.ones(1, np.float32), np.zeros(48_000, np.float32)], 48_000)["embedding"]
    assert np.isfinite(found).all()


@pytest.mark.slow
def test_says_what_is_wrong_with_a_checkpoint(path, tmp_path):
    weights = torch.load(path)
    block = "modality_trunks.audio.blocks.1.attn.bias_k"
    for message, change in {
        r"holds no ImageBind.*'modality_heads.audio.2.weight'.*not for commercial use": {
            "modality_heads.audio.2.weight": None
        },
        f"missing: {block}": {block: None},
        r"unexpected: modality_trunks\.audio\.extra": {"modality_trunks.audio.extra": torch.zeros(1)},
        r"unexpected: modality_trunks\.touch\.extra": {"modality_trunks.touch.extra": torch.zeros(1)},
        r"cls_token is \(1, 1, 13\), wanted \(1, 1, 12\)": {
            "modality_preprocessors.audio.cls_token": torch.zeros(1, 1, 13)
        },
    }.items():
        changed = {name: tensor for name, tensor in (weights | change).items() if tensor is not None}
        torch.save(changed, tmp_path / "other.pth")
        for refuse in (imagebind.load, imagebind.check):
            with pytest.raises(ModelError, match=message):
                refuse(SoundTower, tmp_path / "other.pth", SMALL[SoundTower])


def test_the_published_size_is_checked_without_its_gigabytes(path, tmp_path):
    with torch.device("meta"), UnsetWeights():
        names = VideoTower().state_dict()
    torch.save(blank_weights(names), tmp_path / "huge.pth")
    imagebind.check(VideoTower, tmp_path / "huge.pth")
    with pytest.raises(ModelError, match=r"modality_.*of another shape"):
        imagebind.check(VideoTower, path)
