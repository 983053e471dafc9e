from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml

from v2a_core.config import ConfigError
from v2a_core.mappers import METHODS, NETWORKS, build, load_mapper
from v2a_core.mappers.config import MapperConfig, MapperSettings
from v2a_core.mappers.export import Mapper, save_mapper, save_weights

SMALL = {"transformer": {"width": 16, "depth": 1, "heads": 2, "head_dim": 8}, "mlp": {"width": 32, "depth": 1}}


def export(folder, method="regression", network="mlp") -> Mapper:
    torch.manual_seed(0)
    chosen = MapperSettings.model_validate(
        {"method": {"kind": method}, "network": {"kind": network, **SMALL[network]}, "aggregator": "middle"}
    )
    model = build(chosen)
    config = MapperConfig(mapper=chosen, vision_space="clip:1", audio_space="clap:1", training={"steps": 3})
    weights = folder / "weights.tmp"
    save_weights(model, weights)
    save_mapper(str(folder / "mapper"), weights, config)
    return Mapper(model, config, hashlib.sha256(weights.read_bytes()).hexdigest())


def frames(rows: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).normal(size=(rows, 3, 512)).astype(np.float32))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("network", NETWORKS)
def test_a_loaded_mapper_maps_the_same(tmp_path, method, network):
    original = export(tmp_path, method, network)
    loaded = load_mapper(str(tmp_path / "mapper"))
    assert loaded.config == original.config
    assert loaded.fingerprint == original.fingerprint
    np.testing.assert_array_equal(loaded.map(frames(2), [1, 2]), original.map(frames(2), [1, 2]))


def test_a_remote_mapper_loads(tmp_path):
    import fsspec

    original = export(tmp_path)
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "mapper") + "/", "/mappers/one/", recursive=True)
    assert load_mapper("memory://mappers/one").fingerprint == original.fingerprint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 99}, "schema version 99, this program reads 1"),
        (
            {"mapper": {"method": {"kind": "oracle"}, "network": {"kind": "mlp"}}},
            "unknown method 'oracle'; known: regr",
        ),
        (
            {"mapper": {"method": {"kind": "diffusion"}, "network": {"kind": "cnn"}}},
            "unknown network 'cnn'; known: mlp",
        ),
        ({"flavour": "sweet"}, "flavour"),
    ],
)
def test_an_unknown_configuration_is_refused(tmp_path, change, message):
    export(tmp_path)
    path = tmp_path / "mapper" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ConfigError, match=message):
        load_mapper(str(tmp_path / "mapper"))


def test_tensors_that_do_not_fit_are_named(tmp_path):
    export(tmp_path)
    path = tmp_path / "mapper" / "mapper.safetensors"
    tensors = safetensors.torch.load_file(path)
    del tensors["network.project_in.bias"]
    tensors["network.extra"] = torch.zeros(2)
    tensors["network.norm_out.weight"] = torch.zeros(3)
    safetensors.torch.save_file(tensors, path)
    with pytest.raises(ConfigError) as error:
        load_mapper(str(tmp_path / "mapper"))
    for name in (
        "missing: network.project_in.bias",
        "unknown: network.extra",
        "network.norm_out.weight is (3,), not (32",
    ):
        assert name in str(error.value)


def test_missing_and_broken_files_are_explained(tmp_path):
    with pytest.raises(ConfigError, match=r"no config\.json"):
        load_mapper(str(tmp_path))
    export(tmp_path)
    path = tmp_path / "mapper" / "mapper.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ConfigError, match="not a whole safetensors file"):
        load_mapper(str(tmp_path / "mapper"))
    path.unlink()
    with pytest.raises(ConfigError, match=r"no mapper\.safetensors"):
        load_mapper(str(tmp_path / "mapper"))


@pytest.mark.parametrize("method", METHODS)
def test_a_call_gives_samples_of_one_segment(tmp_path, method):
    mapper = export(tmp_path, method)
    one = frames(1)[0]
    three = mapper(one, num_samples=3, seed=5)
    assert three.shape == (3, 512)
    assert three.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(three, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(mapper(one, num_samples=2, seed=5), three[:2], atol=1e-5)
    assert np.allclose(three[0], three[1], atol=1e-3) == (method == "regression")
    if method != "regression":
        assert not np.allclose(mapper(one, seed=6), three[:1], atol=1e-3)
        assert not np.allclose(mapper(one, seed=5, guidance_scale=4.0), three[:1], atol=1e-4)


def test_the_hubs_mixin_saves_what_loads(tmp_path):
    original = export(tmp_path, "flow")
    original.save_pretrained(tmp_path / "saved")
    assert {path.name for path in (tmp_path / "saved").iterdir()} == {"mapper.safetensors", "config.json", "README.md"}
    loaded = Mapper.from_pretrained(str(tmp_path / "saved"))
    assert loaded.fingerprint == original.fingerprint
    assert loaded.config == original.config


def test_a_name_that_is_no_folder_is_asked_of_the_hub(tmp_path, monkeypatch):
    export(tmp_path)
    asked = []

    def answers(name, **options):  # the hub itself cannot be reached from a test
        asked.append((name, options["revision"]))
        return str(tmp_path / "mapper")

    monkeypatch.setattr("v2a_core.mappers.export.snapshot_download", answers)
    assert Mapper.from_pretrained("someone/mapper", revision="v1").config.vision_space == "clip:1"
    assert asked == [("someone/mapper", "v1")]


def test_the_model_card_says_what_it_is(tmp_path):
    export(tmp_path, "flow")
    card = (tmp_path / "mapper" / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert head["license"] == "other"
    assert "A V2A mapper: flow mlp" in card
    assert "from `clip:1`" in card
