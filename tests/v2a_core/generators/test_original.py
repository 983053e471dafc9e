"""The original checkpoint: our classes with its weights compute what the authors' networks compute."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers_audioldm import save_miniature
from helpers_original import Original

from v2a_core.generators.audioldm.components import build, check_source
from v2a_core.generators.audioldm.original import OriginalCheckpoint
from v2a_core.models.errors import ModelError

# Width and channels of a head of -s, -m and -l, and of ones that are quick.
SIZES = {"s": (128, 32), "m": (192, 32), "l": (256, 64)}


@pytest.fixture(scope="module")
def original() -> Original:
    return Original(32, 32)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_miniature(tmp_path_factory.mktemp("miniature")) / "tokenizer"


@pytest.fixture(scope="module")
def source(original: Original, tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> OriginalCheckpoint:
    return OriginalCheckpoint(original.save(tmp_path_factory.mktemp("original") / "audioldm.ckpt"), tokenizer)


def assert_same_unet(original: Original, unet: torch.nn.Module) -> None:
    torch.manual_seed(1)
    latents_BCHW, time_B = torch.randn(2, 8, 16, 16), torch.tensor([7, 801])
    conditions_BD = torch.nn.functional.normalize(torch.randn(2, 512), dim=-1)
    with torch.inference_mode():
        expected = original.unet(latents_BCHW, time_B, conditions_BD)
        made = unet(latents_BCHW, time_B, encoder_hidden_states=None, class_labels=conditions_BD).sample
    assert expected.std() > 1e-2
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("width", "head_channels"), [(32, 32), (32, 16), pytest.param(64, 32, marks=pytest.mark.slow)])
def test_the_unet_predicts_what_the_authors_does(
    width: int, head_channels: int, tmp_path: Path, tokenizer: Path
) -> None:
    original = Original(width, head_channels)
    source = OriginalCheckpoint(original.save(tmp_path / "x.ckpt"), tokenizer, head_channels=head_channels)
    assert_same_unet(original, build(source, "unet"))


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_the_unet_of_each_size_predicts_what_the_authors_does(size: str, tmp_path: Path, tokenizer: Path) -> None:
    original = Original(*SIZES[size])
    source = OriginalCheckpoint(original.save(tmp_path / "x.ckpt", ema=False), tokenizer, "raw")
    assert source.authors_head_channels == SIZES[size][1]
    assert_same_unet(original, build(source, "unet"))


def test_averaged_and_raw_weights_are_told_apart(original: Original, source: OriginalCheckpoint) -> None:
    raw = OriginalCheckpoint(source.path, source.tokenizer, "raw")
    torch.testing.assert_close(raw.tensors("unet")["conv_in.weight"], 2 * source.tensors("unet")["conv_in.weight"])


def test_the_vae_encodes_and_decodes_as_the_authors_does(original: Original, source: OriginalCheckpoint) -> None:
    vae = build(source, "vae")
    torch.manual_seed(1)
    mel_B1TM, latents_BCHW = torch.randn(2, 1, 32, 64), torch.randn(2, 8, 8, 16)
    with torch.inference_mode():
        torch.testing.assert_close(vae._encode(mel_B1TM), original.first_stage.moments(mel_B1TM), rtol=0, atol=1e-4)
        made, expected = vae.decode(latents_BCHW).sample, original.first_stage.decode(latents_BCHW)
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-4)
    assert vae.config.scaling_factor == pytest.approx(original.scale_factor)


def test_the_vocoder_sounds_as_the_authors_does(original: Original, source: OriginalCheckpoint) -> None:
    mel_BTM = torch.randn(2, 20, 64)
    with torch.inference_mode():
        expected = original.first_stage.vocoder(mel_BTM.transpose(1, 2))
        made = build(source, "vocoder")(mel_BTM)
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-5)


def test_the_text_tower_reads_as_the_authors_does(original: Original, source: OriginalCheckpoint) -> None:
    tokens = torch.tensor([[0, 20, 30, 2, 1, 1], [0, 40, 50, 60, 70, 2]])
    mask = (tokens != 1).long()
    with torch.inference_mode():
        expected = original.text(tokens, mask)
        made = build(source, "text_encoder")(tokens, attention_mask=mask).text_embeds
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-5)


def test_the_noise_schedule_is_the_checkpoints(source: OriginalCheckpoint) -> None:
    from diffusers import DDIMScheduler

    betas = DDIMScheduler.from_config(source.scheduler_config()).betas
    torch.testing.assert_close(betas, source._all["betas"], rtol=1e-5, atol=0)


def test_all_parts_fit_their_classes_and_each_other(source: OriginalCheckpoint) -> None:
    sizes = check_source(source)
    assert (sizes.sample_rate, sizes.hop_length, sizes.mel_bins, sizes.condition_dim) == (16_000, 160, 64, 512)


def test_a_checkpoint_without_averaged_weights_says_so(original: Original, tokenizer: Path, tmp_path: Path) -> None:
    path = original.save(tmp_path / "x.ckpt", ema=False)
    with pytest.raises(ModelError, match=r"holds no averaged weights of .* generator\.weights=raw"):
        check_source(OriginalCheckpoint(path, tokenizer))
    check_source(OriginalCheckpoint(path, tokenizer, "raw"))


def test_heads_that_do_not_divide_a_level_are_refused(source: OriginalCheckpoint) -> None:
    with pytest.raises(ModelError, match="head_channels = 24: the UNet has levels of 32, 64, 160 channels"):
        check_source(OriginalCheckpoint(source.path, source.tokenizer, head_channels=24))


def test_another_checkpoint_is_refused(tmp_path: Path, tokenizer: Path) -> None:
    torch.save({"state_dict": {"visual.conv1.weight": torch.ones(2)}}, tmp_path / "clip.pt")
    with pytest.raises(ModelError, match="is no original checkpoint of AudioLDM: it holds no UNet"):
        check_source(OriginalCheckpoint(tmp_path / "clip.pt", tokenizer))
