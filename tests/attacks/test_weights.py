"""Weights and configurations from strangers: read as data, refused when they are more, or less, than that."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import helpers_attacks
import numpy as np
import pytest
import safetensors.torch
import torch

from v2a_core import encoders
from v2a_core.config import ConfigError
from v2a_core.encoders.config import EncoderSettings
from v2a_core.generators import load_generator
from v2a_core.generators.audioldm.config import AudioLdmSettings
from v2a_core.mappers import load_mapper
from v2a_core.models import load_bundle

SHIPPED = load_bundle("miniature").resolve().vision.path.parents[1]


class Payload:
    """A pickle that leaves a mark when it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, (f"touch {self.mark}",)


def malicious(path: Path, mark: Path, *, legacy: bool = False) -> None:
    content = {"state_dict": {"a": torch.zeros(2)}, "extra": Payload(mark)}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)


def header(text: bytes, declared: int | None = None, data: bytes = b"") -> bytes:
    """A safetensors file made by hand."""
    return struct.pack("<Q", len(text) if declared is None else declared) + text + data


def tensor(shape: list[int], offsets: list[int], dtype: str = "F32") -> bytes:
    return json.dumps({"network.a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}).encode()


SAFETENSORS: dict[str, bytes] = {
    "nothing": b"",
    "seven bytes": bytes(7),
    "a header of 2^64 bytes": header(b"{}", 2**64 - 1),
    "a header longer than the file": header(b"{}", 10_000),
    "a header of 100 MB": header(b"{" + b" " * 100_000_001 + b"}"),
    "a header that is no JSON": header(b"{not json}"),
    "a header that is a list": header(b"[]"),
    "no tensors": header(b"{}"),
    "deep nesting": header(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "tensors behind the end": header(tensor([1000], [0, 4000]), data=bytes(40)),
    "offsets that go backwards": header(tensor([1], [4, 0]), data=bytes(4)),
    "offsets of 2^63": header(tensor([1], [2**63, 2**63 + 4]), data=bytes(4)),
    "a shape of 2^80 numbers": header(tensor([2**40, 2**40], [0, 4]), data=bytes(4)),
    "a shape whose product overflows to one": header(tensor([2**32, 2**32 + 1], [0, 4]), data=bytes(4)),
    "a shape that does not fit its bytes": header(tensor([3], [0, 4]), data=bytes(4)),
    "a negative shape": header(tensor([-1], [0, 4]), data=bytes(4)),
    "an unknown type": header(tensor([1], [0, 4], "OBJ"), data=bytes(4)),
    "bytes that no tensor names": header(tensor([1], [0, 4]), data=bytes(400)),
    "a web page": b"<!DOCTYPE html><html><body>404</body></html>" * 9,
}
CONFIGS: dict[str, Callable[[dict], object]] = {
    "another method": lambda config: config["mapper"].update(method={"kind": "os.system"}),
    "another network": lambda config: config["mapper"].update(network={"kind": "__import__('os')"}),
    "a class to import": lambda config: config.update(auto_map={"AutoModel": "evil.Model"}),
    "a width of 16384 and 128 blocks": lambda config: config["mapper"]["network"].update(width=16_384, depth=128),
    "an embedding of 2^40 numbers": lambda config: config.update(embedding_dim=2**40),
    "a vision side of 2^40 numbers": lambda config: config.update(vision_dim=2**40),
    "an embedding of -1 numbers": lambda config: config.update(embedding_dim=-1),
    "a method that is a list": lambda config: config["mapper"].update(method=[[]]),
    "no spaces": lambda config: config.pop("vision_space"),
    "another aggregator": lambda config: config["mapper"].update(aggregator="../../etc"),
    "guidance of 1e300": lambda config: config["mapper"]["method"]["sampling"].update(mapper_guidance_scale=1e300),
    "a billion steps": lambda config: config["mapper"]["method"]["sampling"].update(steps=10**9),
}
TEXTS = {
    "nothing": b"",
    "a list": b"[]",
    "null": b"null",
    "UTF-16": '{"mapper": {}}'.encode("utf-16"),
    "NUL bytes": bytes(500),
    "deep nesting": b'{"mapper":' * 100_000 + b"1" + b"}" * 100_000,
    "a number of 10,000 digits": b'{"schema_version": ' + b"9" * 10_000 + b', "mapper": {}}',
    "a web page": b"<html>",
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(helpers_attacks.small_mapper(tmp_path_factory.mktemp("mapper")))


@pytest.fixture
def mapper(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "mapper"))


def refused(mapper: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_mapper(str(mapper))
    assert len(str(caught.value)) < 3000
    return str(caught.value)


@pytest.mark.parametrize("kind", SAFETENSORS)
def test_mapper_weights(mapper: Path, kind: str) -> None:
    """a mapper whose safetensors file is, or has"""
    (mapper / "mapper.safetensors").write_bytes(SAFETENSORS[kind])
    assert "mapper.safetensors" in refused(mapper)


@pytest.mark.parametrize("kind", CONFIGS)
def test_mapper_config(mapper: Path, kind: str) -> None:
    """a mapper whose configuration asks for"""
    config = json.loads((mapper / "config.json").read_text())
    CONFIGS[kind](config)
    (mapper / "config.json").write_text(json.dumps(config))
    assert "config.json" in refused(mapper)


@pytest.mark.parametrize("kind", TEXTS)
def test_mapper_config_text(mapper: Path, kind: str) -> None:
    """a mapper whose configuration is"""
    (mapper / "config.json").write_bytes(TEXTS[kind])
    assert "config.json" in refused(mapper)


@pytest.mark.parametrize("change", ["missing", "another shape", "one more", "whole numbers", "complex numbers"])
def test_mapper_tensors(mapper: Path, change: str) -> None:
    """a mapper with tensors that do not fit"""
    file = mapper / "mapper.safetensors"
    tensors = safetensors.torch.load_file(file)
    name = next(name for name in tensors if tensors[name].dim() == 2)
    if change == "missing":
        del tensors[name]
    elif change == "another shape":
        tensors[name] = tensors[name].T.contiguous()
    elif change == "one more":
        tensors["evil"] = torch.zeros(1)
    else:
        tensors[name] = tensors[name].to(torch.int32 if change == "whole numbers" else torch.complex64)
    safetensors.torch.save_file(tensors, file)
    refused(mapper)


@pytest.mark.parametrize("legacy", [False, True])
def test_mapper_that_is_a_pickle(mapper: Path, tmp_path: Path, legacy: bool) -> None:
    """A pickle with a command, called mapper.safetensors, is refused and does not run"""
    malicious(mapper / "mapper.safetensors", tmp_path / "mark", legacy=legacy)
    refused(mapper)
    assert not (tmp_path / "mark").exists()


def test_code_beside_a_mapper(mapper: Path, tmp_path: Path) -> None:
    """Python files and pickles beside a mapper are not touched"""
    for name in ("modeling.py", "__init__.py", "conftest.py", "sitecustomize.py"):
        (mapper / name).write_text(f"import os\nos.system('touch {tmp_path / 'mark'}')\n")
    malicious(mapper / "pytorch_model.bin", tmp_path / "mark")
    load_mapper(str(mapper))
    assert not (tmp_path / "mark").exists()


def test_a_mapper_for_the_command_line(mapper: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """generate with a malicious mapper: exit 2 with its name, before Ray starts, and no output is left"""
    malicious(mapper / "mapper.safetensors", tmp_path / "mark")
    (tmp_path / "a.png").write_bytes(b"")
    assert helpers_attacks.generate([tmp_path / "a.png"], tmp_path / "output", mapper) == 2
    assert "mapper" in capsys.readouterr().err
    assert not (tmp_path / "mark").exists()
    assert not list((tmp_path / "output").rglob("*.parquet"))


# Bundles


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The miniature, without the checksums that a stranger would not give."""
    folder = Path(shutil.copytree(SHIPPED, tmp_path / "bundle"))
    (folder / "checksums.json").unlink()
    return folder


def load_all(folder: Path) -> None:
    local = load_bundle(str(folder)).resolve()
    local.media_spec()
    encoders.build_vision(local, EncoderSettings())
    encoders.build_audio(local, EncoderSettings())
    generator = load_generator(local, AudioLdmSettings())
    generator.embed_text(["rain"])


def replace_by(path: str, make: Callable[[Path, Path], object]) -> Callable[[Path, Path], None]:
    def change(folder: Path, mark: Path) -> None:
        make(folder / path, mark)

    return change


def edit(path: str, **values: object) -> Callable[[Path, Path], None]:
    def change(folder: Path, mark: Path) -> None:
        content = json.loads((folder / path).read_text())
        told = json.loads(json.dumps(values).replace("MARK", str(mark)))
        (folder / path).write_text(json.dumps({**content, **told}))

    return change


def pickle_in_place(folder_name: str, name: str) -> Callable[[Path, Path], None]:
    """A pickle instead of the safetensors of a part of the generator."""

    def change(folder: Path, mark: Path) -> None:
        part = folder / "generator" / folder_name
        for file in part.glob("*.safetensors"):
            file.unlink()
        malicious(part / name, mark)

    return change


def raw_pickle(path: Path, mark: Path) -> None:
    path.write_bytes(pickle.dumps({"state_dict": Payload(mark)}))


def yaml_with(text: str) -> Callable[[Path, Path], None]:
    def change(folder: Path, mark: Path) -> None:
        (folder / "bundle.yaml").write_text(text.replace("MARK", str(mark)))

    return change


_LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
REFUSED: dict[str, Callable[[Path, Path], None]] = {
    "CLAP as a zip pickle": replace_by("audio/clap_miniature.pt", malicious),
    "CLAP as a legacy pickle": replace_by(
        "audio/clap_miniature.pt", lambda path, mark: malicious(path, mark, legacy=True)
    ),
    "CLAP as a raw pickle": replace_by("audio/clap_miniature.pt", raw_pickle),
    "CLIP as a pickle called safetensors": replace_by("vision/open_clip_model.safetensors", malicious),
    "the UNet as a pickle": pickle_in_place("unet", "diffusion_pytorch_model.bin"),
    "the VAE as a pickle": pickle_in_place("vae", "diffusion_pytorch_model.bin"),
    "the vocoder as a pickle": pickle_in_place("vocoder", "pytorch_model.bin"),
    "the text encoder as a pickle": pickle_in_place("text_encoder", "pytorch_model.bin"),
    "YAML that calls a function": yaml_with('name: !!python/object/apply:os.system ["touch MARK"]\n'),
    "YAML that grows a billion times": yaml_with(_LAUGHS),
    "weights of the system": yaml_with(
        "name: x\nvision: {model: ViT-miniature, weights: ../../../../../../etc/passwd}\n"
        "audio: {weights: ./audio}\ngenerator: {weights: ./generator}\n"
    ),
    "an index that is a folder": replace_by(
        "generator/unet/config.json", lambda path, mark: (path.unlink(), path.mkdir())
    ),
    "a UNet of another width": edit("generator/unet/config.json", block_out_channels=[8, 8]),
    "a CLAP that is a web page": replace_by("audio/clap_miniature.pt", lambda path, mark: path.write_text("<html>")),
    "an empty CLIP": replace_by("vision/open_clip_model.safetensors", lambda path, mark: path.write_bytes(b"")),
    "no tokenizer": replace_by("generator/tokenizer", lambda path, mark: shutil.rmtree(path)),
}
HARMLESS: dict[str, Callable[[Path, Path], None]] = {
    "an index that names other classes": edit(
        "generator/model_index.json", _class_name="Evil", unet=["os", "system"], custom_pipeline="evil"
    ),
    "a scheduler of another class": edit("generator/scheduler/scheduler_config.json", _class_name="os.system"),
    "a text encoder with code": edit(
        "generator/text_encoder/config.json", auto_map={"AutoModel": "evil.Evil"}, trust_remote_code=True
    ),
    "a tokenizer with code": edit(
        "generator/tokenizer/tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Evil", None]}
    ),
    "Python files everywhere": lambda folder, mark: [
        (place / name).write_text(f"import os\nos.system('touch {mark}')\n")
        for place in (folder, *(path for path in folder.rglob("*") if path.is_dir()))
        for name in ("__init__.py", "evil.py", "pipeline.py", "sitecustomize.py")
    ],
}


@pytest.mark.parametrize("kind", REFUSED)
def test_bundle_refused(bundle: Path, tmp_path: Path, kind: str) -> None:
    """a bundle is refused, and runs nothing, with"""
    REFUSED[kind](bundle, tmp_path / "mark")
    with pytest.raises((ValueError, OSError)) as caught:
        load_all(bundle)
    assert not (tmp_path / "mark").exists()
    assert not isinstance(caught.value, UnicodeError)


@pytest.mark.parametrize("kind", HARMLESS)
def test_bundle_harmless(bundle: Path, tmp_path: Path, kind: str) -> None:
    """a bundle loads, and runs nothing, with"""
    HARMLESS[kind](bundle, tmp_path / "mark")
    load_all(bundle)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    "file", ["audio/clap_miniature.pt", "vision/open_clip_model.safetensors", "generator/vae/config.json"]
)
def test_one_flipped_bit(tmp_path: Path, file: str) -> None:
    """a fetched bundle with one flipped bit is refused by its checksum, in"""
    folder = Path(shutil.copytree(SHIPPED, tmp_path / "bundle"))
    content = bytearray((folder / file).read_bytes())
    content[np.random.default_rng(0).integers(len(content))] ^= 1
    (folder / file).write_bytes(content)
    with pytest.raises(ValueError, match="is damaged or was changed: its digest is"):
        load_bundle(str(folder)).resolve()


def test_checksums_of_other_files(tmp_path: Path) -> None:
    """Checksums that name files outside the bundle are refused"""
    folder = Path(shutil.copytree(SHIPPED, tmp_path / "bundle"))
    told = json.loads((folder / "checksums.json").read_text())
    (folder / "checksums.json").write_text(json.dumps({**told, "audio/../../../etc/passwd": "0" * 64}))
    with pytest.raises(ValueError, match="missing"):
        load_bundle(str(folder)).resolve()


def test_models_for_the_command_line(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`v2a models show` of a bundle with a malicious CLAP runs no code"""
    from workflows.cli.main import main

    malicious(bundle / "audio" / "clap_miniature.pt", tmp_path / "mark")
    main(["models", "show", str(bundle)])
    assert not (tmp_path / "mark").exists()
