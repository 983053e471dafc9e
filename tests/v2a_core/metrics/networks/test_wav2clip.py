"""Wav2CLIP: published names and sizes; the values of the package wav2clip, one sound in a batch."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from helpers_networks import seeded_sounds, seeded_weights
from networks_oracles import close, expected

from v2a_core.media.types import Pcm
from v2a_core.metrics.extractors.networks import wav2clip
from v2a_core.metrics.extractors.wav2clip import Wav2ClipExtractor
from v2a_core.metrics.hearing_protocols import PROTOCOLS
from v2a_core.models import ModelError
from v2a_core.tables.arrays import read_vectors


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """As the published checkpoint: with the heads of its training."""
    shapes = {name: tuple(tensor.shape) for name, tensor in wav2clip.Wav2Clip().state_dict().items()}
    weights = seeded_weights(shapes) | {"audio_encoder.spectrogram.window": torch.hann_window(512)}
    heads = {"image_transform.sequential.0.weight": torch.zeros(512, 512), "loss_fn_i.logit_scale": torch.ones(())}
    file = tmp_path_factory.mktemp("wav2clip") / "Wav2CLIP.pt"
    torch.save(weights | heads, file)
    return file


@pytest.fixture(scope="module")
def loaded(path):
    return wav2clip.load(path)


def test_has_the_published_names_and_sizes(loaded):
    assert sum(parameter.numel() for parameter in loaded.parameters()) == 11_695_552
    tensors = loaded.state_dict()
    assert tensors["audio_encoder.conv1.weight"].shape == (64, 1, 7, 7)
    assert tensors["audio_encoder.layer4.0.downsample.0.weight"].shape == (512, 256, 1, 1)
    assert tensors["audio_transform.sequential.3.weight"].shape == (512, 512)
    assert not any(name.startswith(("image_transform", "loss_fn")) for name in tensors)


def test_equals_the_original_network_and_front_end(loaded):
    ours = loaded.embed(seeded_sounds([3.0, 1.0, 3.0]), 16_000)["embedding"]
    close(ours, expected("wav2clip")["embedding"])


def test_a_sound_does_not_depend_on_its_neighbours(loaded):
    loud, soft = seeded_sounds([1.0, 1.0])
    together = loaded.embed([loud, np.float32(0.01) * soft], 16_000)["embedding"]
    alone = loaded.embed([np.float32(0.01) * soft], 16_000)["embedding"]
    np.testing.assert_allclose(together[1], alone[0], atol=1e-5 * np.abs(alone).max())


def test_lanes_find_what_one_thread_finds(path, threads_as_before):
    heard = Wav2ClipExtractor(path, "cpu")
    sounds = [Pcm(sound[:, None], 44_100) for sound in seeded_sounds([1.0, 0.3, 1.0, 2.0, 0.1], 44_100)]
    found = []
    for threads in (1, 2, 8):
        torch.set_num_threads(threads)
        found.append(read_vectors(pa.chunked_array([heard.extract(sounds, PROTOCOLS["paper"])["embedding"]])))
    assert [len(vectors) for vectors in found] == [5, 5, 5]
    for lanes in found[1:]:
        np.testing.assert_allclose(np.stack(lanes), np.stack(found[0]), atol=1e-5 * np.abs(np.stack(found[0])).max())


def test_sounds_of_any_length_and_silence(loaded):
    found = loaded.embed([np.ones(1, np.float32), np.zeros(16_000, np.float32)], 48_000)["embedding"]
    assert found.shape == (2, 512)
    assert np.isfinite(found).all()


def test_a_checkpoint_without_the_window_has_the_same(path, loaded, tmp_path):
    weights = {name: value for name, value in torch.load(path).items() if "spectrogram" not in name}
    torch.save(weights, tmp_path / "bare.pt")
    sounds = seeded_sounds([1.0])
    bare = wav2clip.load(tmp_path / "bare.pt")
    np.testing.assert_array_equal(bare.embed(sounds, 16_000)["embedding"], loaded.embed(sounds, 16_000)["embedding"])


def test_says_what_is_wrong_with_a_checkpoint(path, tmp_path):
    weights = torch.load(path)
    for message, name in {
        r"holds no Wav2CLIP.*'audio_transform.sequential.3.weight'.*Wav2CLIP.pt": "audio_transform.sequential.3.weight",
        "missing: audio_encoder.layer2.0.downsample.1.running_var": "audio_encoder.layer2.0.downsample.1.running_var",
    }.items():
        torch.save({key: value for key, value in weights.items() if key != name}, tmp_path / "less.pt")
        with pytest.raises(ModelError, match=message):
            wav2clip.load(tmp_path / "less.pt")
    torch.save(weights | {"audio_encoder.fc.weight": torch.zeros(309, 512)}, tmp_path / "more.pt")
    with pytest.raises(ModelError, match=r"unexpected: audio_encoder\.fc\.weight"):
        wav2clip.load(tmp_path / "more.pt")
