"""Published networks as extractors: where their weights come from, and what they give for sounds as they are."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from helpers_media import tone
from helpers_networks import blank_weights, published_weights

from v2a_core.config import ConfigError
from v2a_core.media.types import Pcm
from v2a_core.metrics.extractors.imagebind import ImageBindExtractor
from v2a_core.metrics.extractors.network import NetworkSettings, find_weights, network, networks
from v2a_core.metrics.extractors.networks import cnn14
from v2a_core.metrics.extractors.synchformer import SynchformerExtractor
from v2a_core.metrics.hearing_protocols import PROTOCOLS
from v2a_core.models import ModelError

SIZES = {
    "cnn14-16k": {"embedding": 2048, "logits": 527},
    "cnn14-32k": {"embedding": 2048, "logits": 527},
    "vggish": {"embedding": 2 * 128},
    "wav2clip": {"embedding": 512},
    "passt": {"embedding": 768, "logits": 527},
    "imagebind": {"embedding": 1024},
}


def test_every_network_is_here_but_those_that_need_a_video_too():
    assert networks().keys() - SIZES.keys() == {"synchformer"}


@pytest.mark.parametrize(
    "name", [name if name == "wav2clip" else pytest.param(name, marks=pytest.mark.slow) for name in SIZES]
)
def test_sounds_of_any_rate_and_channels_become_columns(name, tmp_path):
    torch.save(published_weights(name), tmp_path / "weights.pt")
    extractor = network(name)(tmp_path / "weights.pt", "cpu")
    sounds = [
        Pcm(np.stack([tone(2.1, 500.0, 44_100)] * 2, axis=1) * np.float32(0.5), 44_100),
        Pcm(tone(0.3, 300.0, 16_000)[:, None], 16_000),
    ]
    found = extractor.extract(sounds, PROTOCOLS["paper"])
    assert set(found) == set(SIZES[name]) == {column.name for column in extractor.columns}
    for column, size in SIZES[name].items():
        first, second = found[column].to_pylist()
        assert len(first) == size
        assert len(second) == (0 if name == "vggish" else size)
        assert np.isfinite(first).all()
    again = extractor.extract(sounds[::-1], PROTOCOLS["paper"])
    np.testing.assert_allclose(again["embedding"][1].as_py(), found["embedding"][0].as_py(), rtol=1e-3, atol=1e-4)


def test_imagebind_hears_the_whole_file_where_av_benchmark_does():
    heard = ImageBindExtractor.heard(PROTOCOLS["av-benchmark"])
    sound = Pcm(np.stack([tone(9.0, 500.0, 16_000), tone(9.0, 900.0, 16_000)], axis=1), 16_000)
    np.testing.assert_allclose(heard.at_rate(sound, 16_000), sound.first_channel, atol=1e-3)
    assert len(heard.mono(sound)) == 9 * 16_000
    assert heard.describe() == PROTOCOLS["av-benchmark"].describe() | {"length_s": "whole", "channels": "first"}
    assert ImageBindExtractor.heard(PROTOCOLS["paper"]) == PROTOCOLS["paper"]
    assert "CC BY-NC-SA 4.0" in ImageBindExtractor.missing("imagebind")


def test_synchformer_hears_the_mean_value_where_av_benchmark_leaves_it_in():
    heard = SynchformerExtractor.heard(PROTOCOLS["av-benchmark"])
    sound = Pcm(np.stack([tone(1.0, 500.0, 16_000) + np.float32(0.2), tone(1.0, 900.0, 16_000)], axis=1), 16_000)
    np.testing.assert_allclose(heard.at_rate(sound, 16_000), sound.samples_TC.mean(axis=1), atol=1e-6)
    assert heard.describe() == PROTOCOLS["av-benchmark"].describe() | {"centred": False}
    assert SynchformerExtractor.heard(PROTOCOLS["paper"]) == PROTOCOLS["paper"]
    assert "CC BY-NC 4.0" in SynchformerExtractor.missing("synchformer")
    with pytest.raises(ConfigError, match="no network 'synchformer' among the extractors"):
        network("synchformer")  # it hears no sounds by themselves


def test_weights_are_named_by_their_sha256(tmp_path):
    assert find_weights("vggish", NetworkSettings()) is None
    path = tmp_path / "vggish.pth"
    torch.save({"weight": torch.zeros(1)}, path)
    found = find_weights("vggish", NetworkSettings(weights=str(path)))
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.path() == path
    with pytest.raises(ModelError, match="holds no VGGish"):
        network("vggish").load(path)
    path.write_bytes(b"another")
    with pytest.raises(ModelError, match="is another file"):
        found.path()
    with pytest.raises(ConfigError, match=r"vggish\.weights.* has the sha256 .* extractors\.vggish\.sha256"):
        find_weights("vggish", NetworkSettings(weights=str(path), sha256="0" * 64))
    with pytest.raises(ConfigError, match=r"extractors\.vggish\.weights = '/none\.pth': there is no such file"):
        find_weights("vggish", NetworkSettings(weights="/none.pth"))


def test_the_other_rate_of_cnn14_is_refused(tmp_path):
    torch.save({"model": blank_weights(cnn14.Cnn14(cnn14.FRONT_ENDS[513]).state_dict())}, tmp_path / "Cnn14.pth")
    with pytest.raises(ModelError, match="the CNN14 of 32000 Hz, and that of 16000 Hz is wanted"):
        network("cnn14-16k").load(tmp_path / "Cnn14.pth")
