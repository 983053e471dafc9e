from __future__ import annotations

import hashlib
import json
import time

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml

from v2a_core.config import ConfigError
from v2a_core.mappers import build, load_mapper
from v2a_core.mappers.config import MapperConfig, MapperSettings
from v2a_core.mappers.export import Mapper, save_mapper, save_weights
from v2a_core.mappers.registries import METHODS, NETWORKS
from v2a_core.models.finite import DamagedWeightsError

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


@pytest.mark.parametrize("method", METHODS.names())
@pytest.mark.parametrize("network", NETWORKS.names())
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
        ({"schema_version": 99}, "schema version 99, this program reads 2$"),
        ({"schema_version": 1}, r"mapper/config.json has schema version 1, .* Train it again .* rename mapper\.method"),
        (
            {"mapper": {"method": {"kind": "oracle"}, "network": {"kind": "mlp"}}},
            "unknown method 'oracle'; known: regr",
        ),
        (
            {"mapper": {"method": {"kind": "diffusion"}, "network": {"kind": "cnn"}}},
            "unknown network 'cnn'; known: mlp",
        ),
        ({"flavour": "sweet"}, "flavour"),
        ({"mapper": {"method": [[]], "network": {"kind": "mlp"}}}, "unknown method"),
        ({"embedding_dim": 2**40}, r"does not fit its config\.json"),
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
    tensors["network.norm_out.weight"] = torch.zeros(3, dtype=torch.int32)
    safetensors.torch.save_file(tensors, path)
    with pytest.raises(ConfigError) as error:
        load_mapper(str(tmp_path / "mapper"))
    for name in (
        "missing: network.project_in.bias",
        "unknown: network.extra",
        "network.norm_out.weight is (3,), not (32",
        "network.norm_out.weight holds int32, not floating-point numbers",
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


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused_by_name(tmp_path, number):
    export(tmp_path)
    path = tmp_path / "mapper" / "mapper.safetensors"
    tensors = safetensors.torch.load_file(path)
    tensors["network.norm_out.weight"][3] = number
    safetensors.torch.save_file(tensors, path)
    with pytest.raises(DamagedWeightsError, match=r"mapper\.safetensors: the tensor network\.norm_out\.weight holds"):
        load_mapper(str(tmp_path / "mapper"))


def test_a_configuration_of_gigabytes_is_not_read(tmp_path):
    export(tmp_path)
    with (tmp_path / "mapper" / "config.json").open("wb") as file:
        file.truncate(8 * 2**30)  # a hole: it takes no room here
    started = time.monotonic()
    with pytest.raises(ConfigError, match=r"config\.json has 8,589,934,592 bytes, a JSON document has 67,"):
        load_mapper(str(tmp_path / "mapper"))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("method", METHODS.names())
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
        assert not np.allclose(mapper(one, seed=5, mapper_guidance_scale=4.0), three[:1], atol=1e-4)


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


@pytest.mark.parametrize(
    "given",
    [
        lambda frames: frames.tolist(),
        list,
        tuple,
        lambda frames: torch.from_numpy(frames),
        lambda frames: torch.from_numpy(frames).requires_grad_(),
        lambda frames: [torch.from_numpy(frame) for frame in frames],
        lambda frames: frames.astype(np.float64),
        lambda frames: [frame.tolist() for frame in frames],
        # As a column of Parquet comes out of pandas.
        lambda frames: np.array([*frames, None], object)[:-1],
    ],
    ids=["lists", "arrays", "tuple", "tensor", "gradient", "tensors", "float64", "mixed", "objects"],
)
def test_a_call_takes_frames_as_people_have_them(tmp_path, given):
    mapper = export(tmp_path)
    np.testing.assert_array_equal(mapper(given(frames(1)[0])), mapper(frames(1)[0]))


def test_a_call_takes_coarser_numbers(tmp_path):
    mapper, one = export(tmp_path), frames(1)[0]
    half = mapper(one.astype(np.float16))
    np.testing.assert_allclose(half, mapper(one), atol=1e-3)
    np.testing.assert_array_equal(half, mapper(torch.from_numpy(one).half()))
    np.testing.assert_allclose(mapper(torch.from_numpy(one).bfloat16()), mapper(one), atol=1e-2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros(512), r"vision_frames: frame embeddings of shape \(512,\), not \(n >= 1, 512\): one frame is"),
        (np.zeros((2, 3, 512)), r"shape \(2, 3, 512\), .* several segments are mapped by mapper.map"),
        (np.zeros((512, 3)), r"shape \(512, 3\), .* it looks transposed"),
        (np.zeros((3, 768)), r"shape \(3, 768\), not \(n >= 1, 512\)$"),
        (np.zeros((0, 512)), r"shape \(0, 512\)"),
        ([], r"shape \(0,\)"),
        ([np.zeros(512), np.zeros(511)], "frames of 511 and 512 numbers, and each must have 512"),
        ([[0.0] * 512, [0.0] * 3], "frames of 3 and 512 numbers"),
        ("frames.npy", "a str that holds other things than numbers"),
        (np.array([["a"] * 512]), "a ndarray that holds other things than numbers"),
        ([None], "a list that holds other things than numbers .there is a NoneType."),
        (np.full((2, 512), np.nan), "not finite"),
    ],
)  # fmt: skip
def test_what_are_no_frames_is_said_plainly(tmp_path, given, message):
    with pytest.raises(ValueError, match=message):
        export(tmp_path)(given)


def test_segments_have_frames_of_their_own_number(tmp_path):
    mapper = export(tmp_path)
    segments = [item[:count] for item, count in zip(frames(3), (3, 1, 2), strict=True)]
    together = mapper.map([segments[0].tolist(), torch.from_numpy(segments[1]), segments[2]], [1, 2, 3])
    for number, item in enumerate(segments):
        np.testing.assert_allclose(together[number], mapper.map([item], [number + 1])[0], atol=1e-6)
    with pytest.raises(ValueError, match=r"segment 1: frame embeddings of shape \(3, 511\)"):
        mapper.map([segments[0], frames(1)[0][:, :511]], [1, 2])
