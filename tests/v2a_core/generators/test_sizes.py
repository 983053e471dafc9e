"""The published sizes of AudioLDM: -s, -m and -l differ in the width of their UNet (128, 192, 256), in nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_audioldm import AUDIOLDM_S_UNET, AUDIOLDM_VAE, AUDIOLDM_VOCODER, save_miniature

from v2a_core.generators.audioldm.config import AudioLdmSettings
from v2a_core.generators.audioldm.generator import AudioLdmGenerator

WIDTHS = {"s": 128, "m": 192, "l": 256}
# The paper gives -s 185.04 M and -l 739.14 M; -m is 231 M larger than -s (421 M and 652 M with their other parts).
MILLIONS = {"s": 185.04, "m": 185.04 + 231, "l": 739.14}


def unet_on_meta(size: str) -> Any:
    from diffusers import UNet2DConditionModel

    channels = [WIDTHS[size] * factor for factor in (1, 2, 3, 5)]
    config = {**AUDIOLDM_S_UNET, "block_out_channels": channels, "cross_attention_dim": channels}
    with torch.device("meta"):
        return UNet2DConditionModel(**config)


@pytest.mark.parametrize("size", WIDTHS)
def test_the_widths_give_the_published_numbers_of_parameters(size: str) -> None:
    count = sum(parameter.numel() for parameter in unet_on_meta(size).parameters())
    assert count / 1e6 == pytest.approx(MILLIONS[size], abs=1.0 if size == "m" else 0.01)


@pytest.mark.slow
@pytest.mark.parametrize("size", ["m", "l"])
def test_full_size_makes_sound_with_random_weights(size: str, tmp_path: Path) -> None:
    from diffusers import AutoencoderKL
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    small = save_miniature(tmp_path / "miniature")
    folder = tmp_path / size
    for name in ("scheduler", "tokenizer", "text_encoder"):
        shutil.copytree(small / name, folder / name)
    unet = unet_on_meta(size).half().to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    for parameter in unet.parameters():
        parameter.data.normal_(0, 0.02, generator=generator)
    unet.save_pretrained(folder / "unet", variant="fp16")
    del unet
    AutoencoderKL(**AUDIOLDM_VAE).half().save_pretrained(folder / "vae", variant="fp16")
    SpeechT5HifiGan(SpeechT5HifiGanConfig(**AUDIOLDM_VOCODER)).half().save_pretrained(
        folder / "vocoder", variant="fp16"
    )
    audioldm = AudioLdmGenerator(folder, AudioLdmSettings(num_inference_steps=1, precision="bf16"))
    conditions = np.random.default_rng(0).normal(size=(1, 512)).astype(np.float32)
    made = audioldm.generate(conditions, [0], 1.0)
    assert made.shape == (1, 16_000)
    assert np.isfinite(made).all()
