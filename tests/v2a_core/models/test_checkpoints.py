"""Weight files of strangers: read as data, refused when they are more than that."""

import contextlib
import json
import pickle
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from v2a_core.encoders.clap_checkpoint import load_clap
from v2a_core.encoders.clap_config import load_clap_config
from v2a_core.models import ModelError
from v2a_core.models.checkpoints import load_exactly, load_tensors


class Attack:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_malicious_pickle_is_refused_and_does_not_run(tmp_path):
    proof = tmp_path / "proof"
    for name, legacy in (("new.pt", False), ("old.pt", True)):
        content = {"state_dict": {"a": torch.zeros(2)}, "extra": Attack(proof)}
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=not legacy)
        with pytest.raises(ModelError, match=rf"{name} cannot be read as plain weights: .*open.*\n.*convert it once"):
            load_tensors(tmp_path / name)
    assert not proof.exists()


def test_scores_as_numpy_scalars_are_harmless(tmp_path):
    content = {"state_dict": {"a": torch.ones(2)}, "best": np.float64(0.5), "count": np.int64(3)}
    torch.save(content, tmp_path / "laion.pt")
    assert load_tensors(tmp_path / "laion.pt")["a"].tolist() == [1, 1]


def test_a_pickle_protocol_that_cannot_be_checked_is_refused_with_the_way_out(tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "four.pt", pickle_protocol=4)
    with pytest.raises(ModelError, match=r"four.pt cannot be read as plain weights.*\n.*safetensors"):
        load_tensors(tmp_path / "four.pt")


# OpenAI published such archives; this is how one is made, as long as torch makes any.
@pytest.mark.filterwarnings(r"ignore:`torch\.jit\..*` is deprecated:DeprecationWarning")
def test_torchscript_archives_are_refused_with_another_source(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "ViT-B-32.pt")
    with pytest.raises(ModelError, match=r"TorchScript archive.*timm/vit_base_patch32_clip_224.openai"):
        load_tensors(tmp_path / "ViT-B-32.pt")


def test_damaged_files_are_refused_by_name(tmp_path):
    torch.save({"a": torch.ones(5000)}, tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    save_file({"a": torch.ones(5000)}, tmp_path / "whole.safetensors")
    for name, data in {
        "cut.pt": whole[: len(whole) // 2],
        "empty.pt": b"",
        "short.pt": whole[:3],
        "text.pt": b"<html>not found</html>",
        "cut.safetensors": (tmp_path / "whole.safetensors").read_bytes()[:100],
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ModelError, match=name):
            load_tensors(tmp_path / name)


@pytest.mark.parametrize("legacy", [False, True])
def test_flipped_bytes_are_read_or_refused(tmp_path, legacy):
    file = tmp_path / "flipped.pt"
    torch.save({f"layer.{index}": torch.ones(3) for index in range(4)}, file, _use_new_zipfile_serialization=not legacy)
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[rng.integers(len(whole), size=3)] = rng.integers(256, size=3)
        file.write_bytes(damaged.tobytes())
        with contextlib.suppress(ModelError):
            load_tensors(file)


@pytest.mark.parametrize("content", [{}, {"lr": 0.1}, [torch.zeros(1)], {"state_dict": {}}])
def test_a_file_without_tensors_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ModelError, match=r"holds no tensors"):
        load_tensors(tmp_path / "a.pt")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state},
        lambda state: {"model": state},
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {"state_dict": {f"module.{name}": value for name, value in state.items()}, "epoch": 1},
    ],
)
def test_wrappers_and_prefixes_do_not_matter(tmp_path, wrap):
    torch.save(wrap({"a.weight": torch.ones(1), "b.position_ids": torch.arange(3)}), tmp_path / "a.pt")
    assert list(load_tensors(tmp_path / "a.pt")) == ["a.weight", "b.position_ids"]
    assert list(load_clap(tmp_path / "a.pt")) == ["a.weight"]


def test_load_exactly_takes_all_or_says_what_is_wrong(tmp_path):
    source = tmp_path / "weights.pt"
    with torch.device("meta"):
        layer = torch.nn.Linear(2, 3)
    load_exactly(layer, {"weight": torch.ones(3, 2).half(), "bias": torch.zeros(3)}, source)
    assert layer.weight.dtype == torch.float32
    assert not layer.weight.requires_grad
    wrong = {"weight": torch.ones(2, 2), "scale": torch.ones(1)}
    with pytest.raises(ModelError, match=r"weights.pt .*missing: bias; unexpected: scale; of another shape: weight is"):
        load_exactly(layer, wrong, source)


def test_pickles_that_are_not_torchs_are_refused(tmp_path):
    (tmp_path / "plain.bin").write_bytes(pickle.dumps({"a": 1}))
    with zipfile.ZipFile(tmp_path / "zip.bin", "w") as archive:
        archive.writestr("readme.txt", "no weights")
    for name in ("plain.bin", "zip.bin"):
        with pytest.raises(ModelError, match=name):
            load_tensors(tmp_path / name)


def write(path, values):
    path.write_text(json.dumps(values))
    return path


def test_laions_own_model_config_is_read(tmp_path):
    audio = {"sample_rate": 48000, "audio_length": 1024, "hop_size": 480, "fmin": 50, "model_type": "HTSAT"}
    config = load_clap_config(
        write(tmp_path / "a.json", {"embed_dim": 1024, "audio_cfg": {**audio, "model_name": "base"}, "text_cfg": {}})
    )
    assert config.htsat.depths == (2, 2, 12, 2)
    assert config.features == 1024
    assert load_clap_config("HTSAT-base").htsat == config.htsat
    assert load_clap_config(None).features == 768


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "audio_cfg"),
        ({"audio_cfg": {"model_type": "PANN"}}, "only HTSAT"),
        ({"audio_cfg": {"model_name": "huge"}}, "'huge' needs an `htsat` group"),
        ({"audio_cfg": {"sample_rate": "fast"}}, "sample_rate"),
        ({"audio_cfg": {}, "htsat": {"depth": 3}}, "depth"),
        ({"audio_cfg": {"hop_size": 240}}, "2001 spectra of 64 bands; spec_size 256 takes at most 1024"),
        ({"audio_cfg": {}, "htsat": {"depths": [1, 1]}}, "2 depths but 4 num_heads"),
        ({"audio_cfg": {}, "embed_dim": 1024}, "embed_dim 1024, but the sizes give 768"),
    ],
)
def test_wrong_model_configs_are_refused_with_the_reason(tmp_path, values, message):
    with pytest.raises(ModelError, match=message):
        load_clap_config(write(tmp_path / "clap.json", values))


def test_a_model_config_that_is_not_there_is_refused_with_the_known_names():
    with pytest.raises(ModelError, match=r"HTSAT-tiny, HTSAT-base"):
        load_clap_config("HTSAT-small")
