"""CNN14: published names and sizes; the values of panns_inference with torchlibrosa's front end."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers_networks import blank_weights, seeded_sounds, seeded_weights, stft_weights
from networks_oracles import close, expected

from v2a_core.media.mel_scale import mel_filters
from v2a_core.media.sinc_resample import sinc_resample
from v2a_core.metrics.extractors.networks import cnn14
from v2a_core.models import ModelError

EDGES = {16_000: (50, 8000), 32_000: (50, 14_000)}
PARAMETERS = {16_000: 81_033_231, 32_000: 81_837_071}


def front_end(rate: int) -> cnn14.FrontEnd:
    return next(known for known in cnn14.FRONT_ENDS.values() if known.sample_rate == rate)


def weights(rate: int) -> dict[str, torch.Tensor]:
    """As in a published checkpoint: window and mel filters are in it."""
    window = front_end(rate).window
    shapes = {name: tuple(tensor.shape) for name, tensor in cnn14.Cnn14(front_end(rate)).state_dict().items()}
    filters = torch.from_numpy(mel_filters(rate, window, 64, *EDGES[rate])).float()
    return seeded_weights(shapes) | stft_weights(window) | {"logmel_extractor.melW": filters}


@pytest.fixture(scope="module", params=[16_000, pytest.param(32_000, marks=pytest.mark.slow)])
def loaded(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("cnn14") / "Cnn14.pth"
    torch.save({"iteration": 660_000, "model": weights(request.param)}, path)
    return cnn14.load(path)


@pytest.mark.parametrize("rate", PARAMETERS)
def test_has_the_published_names_and_sizes(rate):
    with torch.device("meta"):
        network = cnn14.Cnn14(front_end(rate))
    tensors = network.state_dict()
    assert len(tensors) == 84
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[rate]
    points = {16_000: 512, 32_000: 1024}[rate]
    assert tensors["spectrogram_extractor.stft.conv_imag.weight"].shape == (points // 2 + 1, 1, points)
    assert tensors["logmel_extractor.melW"].shape == (points // 2 + 1, 64)
    assert tensors["conv_block1.conv1.weight"].shape == (64, 1, 3, 3)
    assert tensors["fc_audioset.weight"].shape == (527, 2048)


@pytest.mark.slow
def test_equals_the_original_network_and_front_end(loaded):
    theirs = expected(f"cnn14_{loaded.sample_rate // 1000}k")
    ours = loaded.embed(seeded_sounds([2.5, 2.5], loaded.sample_rate), loaded.sample_rate)
    close(ours["embedding"], theirs["embedding"])
    close(ours["logits"], theirs["logits"])
    assert ours["embedding"].min() >= 0
    assert ours["logits"].dtype == np.float32


@pytest.mark.slow
def test_sounds_of_any_length_and_rate(loaded):
    long, short = seeded_sounds([2.3, 0.01], 44_100)
    together = loaded.embed([long, short, long], 44_100)
    padded = np.pad(sinc_resample(short, 44_100, loaded.sample_rate), (0, 40_000))[:32_000]
    close(together["embedding"][1], loaded.embed([padded], loaded.sample_rate)["embedding"][0])
    close(together["embedding"][2], together["embedding"][0])
    assert loaded.embed([], 16_000)["embedding"].shape == (0, 2048)


@pytest.mark.slow
def test_refuses_what_is_no_sound(loaded):
    for wrong in (np.zeros(0, np.float32), np.zeros((2, 9), np.float32), np.zeros(9), np.full(9, np.nan, np.float32)):
        with pytest.raises(ValueError, match=r"a sound (is float32|has samples)"):
            loaded.embed([wrong], 16_000)


def test_says_what_is_wrong_with_a_checkpoint(tmp_path):
    network = cnn14.Cnn14(cnn14.FRONT_ENDS[257])
    blank, path = blank_weights(network.state_dict()), tmp_path / "some.pth"
    for message, change in {
        "holds no CNN14.*'fc_audioset.weight'.*Cnn14_16k_mAP=0.438.pth": {"fc_audioset.weight": None},
        "missing: fc1.bias": {"fc1.bias": None},
        "unexpected: extra": {"extra": torch.zeros(1)},
        r"fc1.weight is \(2, 2\), wanted \(2048, 2048\)": {"fc1.weight": torch.zeros(2, 2)},
        "mel filters have 129 frequencies": {"logmel_extractor.melW": torch.zeros(129, 64)},
    }.items():
        changed = {name: tensor for name, tensor in (blank | change).items() if tensor is not None}
        torch.save({"model": changed}, path)
        with pytest.raises(ModelError, match=message):
            cnn14.load(path)
