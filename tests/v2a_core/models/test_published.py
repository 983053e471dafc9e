"""Files in the layouts that are published: which of them are read, and what a bundle says of those that are not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from helpers_blip import save_blip, save_blip_vision
from helpers_models import miniature
from helpers_original import Original
from safetensors.torch import load_file, save_file

from v2a_core.captioners.blip import BlipCaptioner, BlipCaptionerSettings
from v2a_core.config import ConfigError
from v2a_core.encoders import EncoderSettings, build_vision
from v2a_core.generators import load_generator, load_text_encoder
from v2a_core.generators.audioldm.config import AudioLdmSettings
from v2a_core.mappers.choice import check_mapper
from v2a_core.mappers.none import NoMapper
from v2a_core.models import LocalBundle, ModelError, check_spaces, check_weights, load_bundle, show_bundle
from v2a_core.models.checkpoints import load_tensors, part_weights

QUICK: dict[str, Any] = {"num_inference_steps": 2, "precision": "fp32"}


class Payload:
    """What a pickle may hold beside tensors: code that runs when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("this ran",)


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The miniature bundle as files that may be changed, and a cache of its own."""
    monkeypatch.setenv("V2A_CACHE", str(tmp_path / "cache"))
    shutil.copytree(miniature().vision.path.parents[1], tmp_path / "bundle")
    return tmp_path / "bundle"


def resolved(folder: Path, **changes: dict[str, Any]) -> LocalBundle:
    """The bundle of a folder, with parts said otherwise, checked as a job checks it."""
    file = folder / "bundle.yaml"
    said = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**said, **changes}))
    local = load_bundle(str(folder)).resolve()
    check_weights(local)
    return local


def as_pickle(weights: Path, name: str) -> Path:
    """A safetensors file as a pickle of that name in its place."""
    path = weights.with_name(name)
    torch.save(load_file(weights), path)
    weights.unlink()
    return path


def pickled_generator(folder: Path) -> None:
    for part in ("unet", "vae", "vocoder", "text_encoder"):
        weights = part_weights(folder / part)
        as_pickle(weights, "pytorch_model.bin" if weights.stem == "model" else "diffusion_pytorch_model.bin")


@pytest.mark.slow
def test_a_generator_of_pickles_sounds_as_one_of_safetensors(copy: Path) -> None:
    conditions = np.random.default_rng(0).normal(size=(1, 512)).astype(np.float32)
    expected = load_generator(resolved(copy), AudioLdmSettings(**QUICK)).generate(conditions, [1], 0.4)
    pickled_generator(copy / "generator")
    local = resolved(copy)
    assert "unet/diffusion_pytorch_model.bin" in local.generator.found.files
    assert check_spaces(local).status == "same"
    made = load_generator(local, AudioLdmSettings(**QUICK)).generate(conditions, [1], 0.4)
    np.testing.assert_array_equal(made, expected)


def test_shards_are_one_file_in_pieces(copy: Path) -> None:
    folder = copy / "generator" / "unet"
    whole = part_weights(folder)
    tensors = load_file(whole)
    half = {name: index % 2 for index, name in enumerate(tensors)}
    files = [f"diffusion_pytorch_model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    for number, file in enumerate(files):
        save_file({name: tensors[name] for name in tensors if half[name] == number}, folder / file)
    index = folder / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": {name: files[half[name]] for name in tensors}}))
    whole.unlink()
    found = resolved(copy).generator.found.files
    assert {f"unet/{file}" for file in (*files, index.name)} < set(found)
    for name, tensor in load_tensors(index).items():
        torch.testing.assert_close(tensor, tensors[name])
    (folder / files[1]).unlink()
    with pytest.raises(ModelError, match=r"names diffusion_pytorch_model-00002-of-00002\.safetensors, which is not be"):
        resolved(copy)


def test_only_what_is_read_is_a_part_of_the_fingerprint(copy: Path) -> None:
    before = resolved(copy).generator.fingerprint
    shutil.copy(part_weights(copy / "generator" / "unet"), copy / "generator" / "unet" / "flax_model.safetensors")
    (copy / "generator" / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"of another tool")
    assert resolved(copy).generator.fingerprint == before


@pytest.mark.parametrize(
    "place",
    [
        "vision/open_clip_pytorch_model.bin",
        "audio/clap_miniature.pt",
        "generator/vae/diffusion_pytorch_model.bin",
        "generator/text_encoder/pytorch_model.bin",
    ],
)
def test_a_pickle_that_would_run_code_is_refused_before_a_job_starts(
    copy: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    for weights in (copy / place).parent.glob("*.safetensors"):
        weights.unlink()
    torch.save({"payload": Payload()}, copy / place)
    with pytest.raises(ModelError, match=rf"{place} cannot be read as plain weights"):
        resolved(copy)
    assert "this ran" not in capsys.readouterr().out


@pytest.mark.parametrize("part", ["vision", "audio", "generator/unet"])
def test_a_truncated_file_is_refused_before_a_job_starts(copy: Path, part: str) -> None:
    (path,) = [file for file in (copy / part).iterdir() if file.suffix in (".safetensors", ".pt")]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ModelError, match=rf"{path.name} is not a "):
        resolved(copy)


def test_a_truncated_pickle_is_refused_before_a_job_starts(copy: Path) -> None:
    pickled_generator(copy / "generator")
    path = part_weights(copy / "generator" / "unet")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ModelError, match=r"unet/diffusion_pytorch_model\.bin is not a readable checkpoint"):
        resolved(copy)


def test_a_missing_part_is_refused_when_the_bundle_is_resolved(copy: Path) -> None:
    part_weights(copy / "generator" / "vocoder").unlink()
    with pytest.raises(ModelError, match=r"vocoder holds no weights \(found config\.json\): wanted is"):
        load_bundle(str(copy)).resolve()


def test_weights_of_another_size_are_refused_before_a_job_starts(copy: Path) -> None:
    path = copy / "generator" / "unet" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "layers_per_block": 2}))
    with pytest.raises(ModelError, match="unet does not fit the model's architecture; missing: down_blocks"):
        resolved(copy)


def test_a_text_encoder_may_lack_or_hold_the_counters(copy: Path) -> None:
    path = part_weights(copy / "generator" / "text_encoder")
    expected = load_text_encoder(resolved(copy)).embed_text(["rain"])
    counters = ("position_ids", "token_type_ids")
    tensors = {name: tensor for name, tensor in load_file(path).items() if not name.endswith(counters)}
    held = {f"text_model.embeddings.{name}": torch.arange(514)[None] for name in counters}
    for saved in (tensors, {**tensors, **held}):
        save_file(saved, path)
        np.testing.assert_array_equal(load_text_encoder(resolved(copy)).embed_text(["rain"]), expected)


def test_heads_are_the_bundles_where_a_conversion_left_eight(copy: Path) -> None:
    path = copy / "generator" / "unet" / "config.json"
    config = json.loads(path.read_text())
    assert config["block_out_channels"] == [64, 96, 128]

    def heads(said: Any, head_channels: int | None) -> Any:
        path.write_text(json.dumps({**config, "attention_head_dim": said}))
        local = resolved(copy, generator={"weights": "./generator", "head_channels": head_channels})
        return load_generator(local, AudioLdmSettings(**QUICK)).parts.unet.config.attention_head_dim

    assert heads(8, None) == 8
    assert heads(8, 32) == [2, 3, 4]
    assert heads([2, 3, 4], 32) == [2, 3, 4]
    with pytest.raises(ModelError, match=r"head_channels = 32 makes \[2, 3, 4\] heads a level, but .* says .* 16"):
        heads(16, 32)


def test_heads_are_a_part_of_the_fingerprint(copy: Path) -> None:
    path = copy / "generator" / "unet" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "attention_head_dim": 8}))
    prints = {
        resolved(copy, generator={"weights": "./generator", "head_channels": channels}).generator.fingerprint
        for channels in (None, 16, 32)
    }
    assert len(prints) == 3


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The authors' networks, narrow, with the miniature's CLAP as theirs, in one file."""
    path = tmp_path_factory.mktemp("original") / "audioldm.ckpt"
    weights = load_tensors(clap_of(miniature().vision.path.parents[1]))
    clap = {f"cond_stage_model.model.{name}": tensor for name, tensor in weights.items()}
    made = Original(32, 32).state_dict().items()
    tensors = {name: tensor for name, tensor in made if not name.startswith("cond_stage")}
    torch.save({"epoch": 1, "state_dict": {**tensors, **clap}}, path)
    return path


def clap_of(folder: Path) -> Path:
    return folder / "audio" / "clap_miniature.pt"


class TestOriginalCheckpoint:
    """The generator and CLAP's text tower out of one file."""

    @pytest.fixture(autouse=True)
    def original(self, copy: Path, written: Path) -> None:
        """It lies in the bundle, where a test may change it."""
        shutil.copy(written, copy)

    @staticmethod
    def said(weights: str = "ema", **more: Any) -> dict[str, Any]:
        return {"checkpoint": "./audioldm.ckpt", "weights": weights, "tokenizer": "./generator/tokenizer", **more}

    def test_makes_sound_and_reads_texts(self, copy: Path) -> None:
        local = resolved(
            copy, generator=self.said(), audio={"weights": "./audioldm.ckpt", "config": "./audio/clap_config.json"}
        )
        assert check_spaces(local).status == "same"
        generator = load_generator(local, AudioLdmSettings(**QUICK))
        conditions = np.random.default_rng(0).normal(size=(1, 512)).astype(np.float32)
        made = generator.generate(conditions, [1], 0.4)
        assert made.shape == (1, 6400)
        assert np.isfinite(made).all()
        # The miniature's tower has other heads than RoBERTa: that its words are the authors' is test_original's.
        assert load_text_encoder(local).embed_text(["a dog barks"]).shape == (1, 512)

    @pytest.mark.slow
    def test_averaged_and_raw_are_two_models(self, copy: Path) -> None:
        prints = {resolved(copy, generator=self.said(weights)).generator.fingerprint for weights in ("ema", "raw")}
        assert len(prints) == 2

    @pytest.mark.slow
    def test_is_copied_with_its_tokenizer(self, copy: Path, tmp_path: Path) -> None:
        from v2a_core.models import fetch_bundle

        local = resolved(copy, generator=self.said())
        fetch_bundle(load_bundle(str(copy)), str(tmp_path / "fetched"))
        assert load_bundle(str(tmp_path / "fetched")).resolve().fingerprints() == local.fingerprints()

    @pytest.mark.slow
    def test_refuses_what_is_cut_off(self, copy: Path) -> None:
        path = copy / "audioldm.ckpt"
        path.write_bytes(path.read_bytes()[:-1000])
        with pytest.raises(ModelError, match=r"audioldm\.ckpt is not a readable checkpoint \(cut off or damaged\?\)"):
            resolved(copy, generator=self.said())

    def test_refuses_another_file_than_the_bundle_says(self, copy: Path) -> None:
        for digest in ("0" * 64, f"md5:{'0' * 32}"):
            with pytest.raises(ModelError, match=rf"audioldm\.ckpt is damaged or was changed: .* says {digest}"):
                resolved(copy, generator=self.said(), checksums={"generator/audioldm.ckpt": digest})

    @pytest.mark.slow
    def test_refuses_averaged_weights_that_it_does_not_hold(self, copy: Path) -> None:
        tensors = load_tensors(copy / "audioldm.ckpt")
        raw = {name: tensor.clone() for name, tensor in tensors.items() if not name.startswith("model_ema.")}
        torch.save({"state_dict": raw}, copy / "raw.ckpt")
        (copy / "raw.ckpt").replace(copy / "audioldm.ckpt")
        with pytest.raises(ModelError, match=r"holds no averaged weights of .* generator\.weights=raw"):
            resolved(copy, generator=self.said())
        assert resolved(copy, generator=self.said("raw"))

    def test_refuses_heads_that_do_not_divide_a_level(self, copy: Path) -> None:
        with pytest.raises(ModelError, match="head_channels = 24: the UNet has levels of 32, 64, 160 channels"):
            resolved(copy, generator=self.said(head_channels=24))

    def test_refuses_weights_that_are_no_choice(self, copy: Path) -> None:
        with pytest.raises(ConfigError, match=r"weights = './generator': with a checkpoint it says which"):
            resolved(copy, generator=self.said("./generator"))

    @pytest.mark.slow
    def test_refuses_another_clap(self, copy: Path) -> None:
        tensors = load_tensors(clap_of(copy))
        tensors["text_projection.0.weight"] = tensors["text_projection.0.weight"] + 0.1
        torch.save(tensors, copy / "other.pt")  # not over the file that the tensors lie in
        (copy / "other.pt").replace(clap_of(copy))
        with pytest.raises(ModelError, match="CLAP and generator are of different spaces"):
            check_spaces(resolved(copy, generator=self.said()))


def test_a_second_safetensors_in_a_folder_of_clip_does_not_confuse_the_choice(copy: Path) -> None:
    (weights,) = (copy / "vision").glob("*.safetensors")
    weights = weights.rename(weights.with_name("open_clip_model.safetensors"))
    save_file({"of.timm": torch.ones(1)}, copy / "vision" / "model.safetensors")
    assert resolved(copy).vision.path.name == weights.name


def test_doubts_are_shown(copy: Path) -> None:
    resolved(copy, generator={"weights": "./generator", "doubt": "nobody has measured it"})
    shown: Any = show_bundle(load_bundle(str(copy)))
    assert shown["generator"]["doubt"] == "nobody has measured it"
    for name in ("paper", "paper-s", "paper-m", "paper-l", "paper-blip"):
        shown = show_bundle(load_bundle(name))
        assert "Nobody has measured" in shown["generator"]["doubt"]
        assert shown["generator"]["head_channels"] == (64 if name == "paper-l" else 32)


def test_blip_sees_with_a_pickle_and_without_a_mapper(copy: Path) -> None:
    save_blip_vision(copy / "blip")
    said = {"encoder": "blip", "model": "tiny-blip", "weights": "./blip"}
    expected = resolved(copy, vision=said)
    frames = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    seen = build_vision(expected, EncoderSettings(precision="fp32")).encode(frames)
    as_pickle(copy / "blip" / "model.safetensors", "pytorch_model.bin")
    local = resolved(copy, vision=said)
    made = build_vision(local, EncoderSettings(precision="fp32")).encode(frames)
    np.testing.assert_array_equal(made, seen)

    assert check_mapper("none", None, local) == "none, 24 numbers and zeros"
    mapped = NoMapper().map([made], [0])
    mean = made.mean(axis=0)
    np.testing.assert_allclose(mapped[0, :24], mean / np.linalg.norm(mean), atol=1e-6)
    assert mapped.shape == (1, 512)
    assert (mapped[0, 24:] == 0).all()


def test_blip_captions_with_a_pickle(tmp_path: Path) -> None:
    settings = BlipCaptionerSettings(weights=save_blip(tmp_path / "blip"), max_tokens=6)
    frames = list(np.random.default_rng(0).integers(0, 255, (3, 48, 48, 3), dtype=np.uint8))
    expected, before = BlipCaptioner(settings).caption(frames), settings.fingerprint()
    path = as_pickle(tmp_path / "blip" / "model.safetensors", "pytorch_model.bin")
    settings.check()
    assert BlipCaptioner(settings).caption(frames) == expected
    assert settings.fingerprint() != before
    torch.save({"payload": Payload()}, path)
    with pytest.raises(ModelError, match=r"pytorch_model\.bin cannot be read as plain weights"):
        settings.check()
