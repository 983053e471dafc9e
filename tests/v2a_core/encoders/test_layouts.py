"""Full-size architectures with random weights, saved as they are published, loaded through the user's path."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from helpers_models import (
    blip_bundle,
    bundle,
    full_clap,
    full_clip,
    miniature,
    with_spectrogram_extractor,
    with_weights,
)
from safetensors.torch import save_file

from v2a_core.compute.torchvision_import import prepare_torchvision
from v2a_core.encoders import EncoderSettings, build_audio, build_vision
from v2a_core.encoders.clap_checkpoint import load_clap
from v2a_core.encoders.clap_config import load_clap_config
from v2a_core.encoders.clap_tower import load_audio_tower
from v2a_core.encoders.htsat import LogMelFilterBank
from v2a_core.encoders.images import OPENAI_MEAN, OPENAI_STD
from v2a_core.models import ModelError
from v2a_core.models.checkpoints import load_tensors
from v2a_core.models.parts import Found, Part

FP32 = EncoderSettings(precision="fp32", micro_batch=2)


@pytest.fixture(scope="module")
def clap(tmp_path_factory):
    """Full-size weights of CLAP in their plainest form."""
    path = tmp_path_factory.mktemp("published") / "clap.pt"
    torch.save(full_clap(), path)
    return path


@pytest.fixture(scope="module")
def published(tmp_path_factory, clap):
    """A bundle with full-size weights in the plainest forms."""
    path = tmp_path_factory.mktemp("published") / "clip.safetensors"
    save_file(full_clip().state_dict(), path)
    return bundle(vision=path, audio=clap)


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def clip_embedding(frames):
    """What open_clip itself makes of the frames, with its own preprocessing."""
    prepare_torchvision()
    from open_clip.transform import image_transform
    from PIL import Image

    transform = image_transform(224, is_train=False)
    pixels = torch.stack([transform(Image.fromarray(frame)) for frame in frames])
    with torch.inference_mode():
        return full_clip().encode_image(pixels, normalize=True).numpy()


@pytest.mark.slow
def test_clip_equals_open_clip_for_each_published_form(tmp_path, published, frames, clip_embedding):
    state = {f"module.{name}": value for name, value in full_clip().state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "clip.pt")
    for file in (published.vision.path, tmp_path / "clip.pt"):
        encoder = build_vision(bundle(vision=file), FP32)
        assert encoder.image_size == 224
        np.testing.assert_allclose(encoder.encode(frames), clip_embedding, atol=2e-5)


def test_blip_equals_transformers_for_each_published_form(tmp_path):
    prepare_torchvision()
    from transformers import BlipForImageTextRetrieval

    blip = blip_bundle()
    whole = BlipForImageTextRetrieval.from_pretrained(blip.vision.path.parent).eval()
    torch.save(whole.state_dict(), tmp_path / "pytorch_model.bin")
    frames = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), dtype=np.uint8)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (OPENAI_MEAN, OPENAI_STD))
    with torch.inference_mode():
        seen = whole.vision_model((torch.tensor(frames).permute(0, 3, 1, 2) / 255 - mean) / std).last_hidden_state
        expected = torch.nn.functional.normalize(whole.vision_proj(seen[:, 0]), dim=-1).numpy()
    for file in (blip.vision.path, tmp_path / "pytorch_model.bin"):
        encoder = build_vision(with_weights(blip, vision=file), FP32)
        np.testing.assert_allclose(encoder.encode(frames), expected, atol=2e-5)


def test_blip_without_its_projection_or_config_is_refused(tmp_path):
    blip = blip_bundle()
    tensors = {name: value for name, value in load_tensors(blip.vision.path).items() if "vision_proj" not in name}
    save_file(tensors, tmp_path / "captioner.safetensors")
    with pytest.raises(ModelError, match=r"no projection of BLIP's image tower .* such as blip-itm-base-coco"):
        build_vision(with_weights(blip, vision=tmp_path / "captioner.safetensors"), FP32)
    alone = Found(blip.vision.path, {blip.vision.path.name: blip.vision.path})
    with pytest.raises(ModelError, match=r"no config.json beside"):
        build_vision(dataclasses.replace(blip, vision=Part(blip.vision.settings, alone)), FP32)


@pytest.mark.slow
def test_clip_keeps_the_image_tower_only(published):
    encoder = build_vision(published, FP32)
    assert sum(weight.numel() for weight in encoder.tower.parameters()) == 87_849_216
    assert not any(weight.is_meta or weight.requires_grad for weight in encoder.tower.parameters())


@pytest.mark.slow
def test_clip_reads_mean_and_deviation_beside_its_weights(tmp_path, published, frames, clip_embedding):
    config = {
        "model_cfg": {"embed_dim": 512, "quick_gelu": True, "vision_cfg": full_vision()},
        "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    }
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    shutil.copy(published.vision.path, tmp_path / "clip.safetensors")
    models = bundle(vision=tmp_path / "clip.safetensors")
    assert not np.allclose(build_vision(models, FP32).encode(frames), clip_embedding, atol=1e-3)


def full_vision():
    return {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32}


@pytest.mark.slow
def test_clip_of_another_architecture_is_refused_by_name(tmp_path):
    state = {name: value for name, value in full_clip().state_dict().items() if name.startswith("visual.")}
    state["visual.unknown"] = state.pop("visual.proj")
    save_file(state, tmp_path / "clip.safetensors")
    with pytest.raises(ModelError, match=r"missing: proj; unexpected: unknown"):
        build_vision(bundle(vision=tmp_path / "clip.safetensors"), FP32)
    with pytest.raises(ModelError, match=r"conv1.weight is \(768, 3, 32, 32\), wanted \(768, 3, 16, 16\)"):
        build_vision(bundle(vision=tmp_path / "clip.safetensors", clip_model="ViT-B-16-quickgelu"), FP32)


def test_a_checkpoint_without_image_tower_is_refused(tmp_path):
    save_file({"text.weight": torch.zeros(1)}, tmp_path / "clip.safetensors")
    with pytest.raises(ModelError, match=r"no CLIP image tower"):
        build_vision(bundle(vision=tmp_path / "clip.safetensors"), FP32)


def laion_checkpoint():
    return {"epoch": 1, "state_dict": {f"module.{name}": value for name, value in full_clap().items()}}


def audioldm_checkpoint():
    clap = {f"cond_stage_model.model.{name}": value for name, value in full_clap().items()}
    return {"state_dict": {**clap, "model.diffusion_model.weight": torch.zeros(3)}, "global_step": 7}


def without_position_ids():
    return {name: value.contiguous() for name, value in full_clap().items() if "position_ids" not in name}


def half_without_what_can_be_computed():
    kept = {name: value for name, value in without_position_ids().items() if "_extractor" not in name}
    return {name: value.half() if value.is_floating_point() else value for name, value in kept.items()}


LAYOUTS = {
    "laion.pt": laion_checkpoint,
    "audioldm.ckpt": audioldm_checkpoint,
    "plain.pt": full_clap,
    "plain.safetensors": without_position_ids,
    "half.safetensors": half_without_what_can_be_computed,
}


@pytest.fixture(scope="module")
def waveforms():
    times = np.arange(480_000) / 48_000
    return np.array(
        [0.3 * np.sin(2 * np.pi * 440 * times), np.random.default_rng(0).normal(0, 0.1, 480_000)], np.float32
    )


@pytest.fixture(scope="module")
def clap_embedding(waveforms):
    """What HTSAT's own forward pass and the projection give."""
    tower = load_like_laion(full_clap())
    with torch.inference_mode():
        features = tower.audio_branch({"waveform": torch.tensor(waveforms)})["embedding"]
        assert features.shape == (2, 768)
        return torch.nn.functional.normalize(tower.audio_projection(features), dim=-1).numpy()


def load_like_laion(state):
    from v2a_core.encoders.clap_tower import ClapAudioTower

    tower = with_spectrogram_extractor(ClapAudioTower(load_clap_config("HTSAT-tiny")))
    missing, _ = tower.load_state_dict(state, strict=False)
    assert not missing
    return tower.eval()


QUICK = {"laion.pt", "half.safetensors"}  # the two that are farthest from what is loaded


@pytest.mark.parametrize(
    "file", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in LAYOUTS]
)
def test_clap_equals_laions_tower_for_each_published_form(tmp_path, waveforms, clap_embedding, file):
    content = LAYOUTS[file]()
    if file.endswith(".safetensors"):
        save_file(content, tmp_path / file)
    else:
        torch.save(content, tmp_path / file)
    encoder = build_audio(bundle(audio=tmp_path / file), FP32)
    assert (encoder.sample_rate, encoder.samples, encoder.dim) == (48_000, 480_000, 512)
    found = encoder.encode(waveforms)
    if file.startswith("half"):
        assert (found * clap_embedding).sum(axis=1).min() > 0.9999
    else:
        np.testing.assert_allclose(found, clap_embedding, atol=2e-5)


def test_clap_has_the_size_of_htsat_tiny_and_no_text_tower(clap):
    tower = load_audio_tower(load_clap_config(None), clap)
    assert (tower.audio_projection[0].in_features, tower.audio_projection[2].out_features) == (768, 512)
    assert 30e6 < sum(weight.numel() for weight in tower.parameters()) < 33e6
    assert not tower.training


def test_log_mels_are_those_of_htsat(clap, waveforms):
    tower = with_spectrogram_extractor(load_audio_tower(load_clap_config(None), clap))
    branch = tower.audio_branch
    with torch.inference_mode():
        mel = branch.logmel_extractor(branch.spectrogram_extractor(torch.tensor(waveforms)))
        expected = branch.bn0(mel.transpose(1, 3)).transpose(1, 3)
        torch.testing.assert_close(tower.log_mel(torch.tensor(waveforms)), expected, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("rate", "window", "bands", "lowest", "highest"), [(48_000, 1024, 64, 50, 14_000), (16_000, 512, 80, 0, 8000)]
)
def test_the_filter_bank_is_torchlibrosas(rate, window, bands, lowest, highest):
    from torchlibrosa.stft import LogmelFilterBank

    sizes = {"sr": rate, "n_fft": window, "n_mels": bands, "fmin": lowest, "fmax": highest}
    theirs, ours = LogmelFilterBank(**sizes, top_db=None), LogMelFilterBank(**sizes, top_db=None)
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    power = torch.rand(3, 7, window // 2 + 1, generator=torch.Generator().manual_seed(0)) ** 20
    torch.testing.assert_close(ours(power), theirs(power), atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(ours(0 * power), theirs(0 * power))


@pytest.mark.slow
def test_clap_of_transformers_gives_the_same_embedding(tmp_path, waveforms):
    prepare_torchvision()
    from transformers import ClapAudioConfig, ClapAudioModelWithProjection

    torch.manual_seed(1)
    theirs = ClapAudioModelWithProjection(ClapAudioConfig()).eval()
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    tower = with_spectrogram_extractor(load_audio_tower(load_clap_config("HTSAT-tiny"), tmp_path / "model.safetensors"))
    with torch.inference_mode():
        mel = tower.audio_branch.logmel_extractor(tower.audio_branch.spectrogram_extractor(torch.tensor(waveforms)))
        expected = theirs(input_features=mel).audio_embeds
        found = torch.nn.functional.normalize(tower(torch.tensor(waveforms)), dim=-1)
    expected = torch.nn.functional.normalize(expected, dim=-1)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)


def test_clap_without_audio_tower_is_refused_with_a_way_out(tmp_path):
    torch.save({"text_branch.weight": torch.zeros(2)}, tmp_path / "text.pt")
    with pytest.raises(ModelError, match=r"no CLAP audio tower.*original checkpoint"):
        load_audio_tower(load_clap_config(None), tmp_path / "text.pt")


def test_clap_of_another_size_is_refused_with_names(clap):
    with pytest.raises(ModelError, match=r"missing: .*layers\.2\.blocks\.6.* and \d+ more; of another shape"):
        load_audio_tower(load_clap_config("HTSAT-base"), clap)


def test_clap_of_another_front_end_is_refused(tmp_path):
    state = dict(full_clap())
    state["audio_branch.logmel_extractor.melW"] = state["audio_branch.logmel_extractor.melW"].roll(3, 0)
    torch.save(state, tmp_path / "clap.pt")
    with pytest.raises(ModelError, match=r"another mel front end"):
        load_audio_tower(load_clap_config(None), tmp_path / "clap.pt")


def test_fused_clap_is_refused_by_the_name_of_its_extra_tensors(tmp_path):
    state = {**full_clap(), "audio_branch.patch_embed.mel_conv2d.weight": torch.zeros(1)}
    torch.save(state, tmp_path / "fused.pt")
    with pytest.raises(ModelError, match=r"unexpected: audio_branch.patch_embed.mel_conv2d.weight"):
        load_audio_tower(load_clap_config(None), tmp_path / "fused.pt")


def test_htsat_loads_without_laion_clap_itself():
    import sys

    build_audio(miniature(), FP32)
    assert "laion_clap" not in sys.modules


@pytest.mark.slow
def test_bf16_keeps_the_direction_at_full_size(published, frames, clip_embedding, waveforms, clap_embedding):
    bf16 = EncoderSettings(precision="bf16")
    assert (build_vision(published, bf16).encode(frames) * clip_embedding).sum(axis=1).min() >= 0.999
    assert (build_audio(published, bf16).encode(waveforms) * clap_embedding).sum(axis=1).min() >= 0.999


def test_position_ids_are_no_weights(clap):
    assert not [name for name in load_clap(clap) if "position_ids" in name]
