"""The miniature's generator: AudioLDM's own classes at tiny size, seeded random weights, in the published layout."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from v2a_core.compute.torchvision_import import prepare_torchvision
from v2a_core.generators.audioldm.components import without_progress_bars
from v2a_core.miniature.seeded import seeded
from v2a_core.protocols import JSON
from v2a_core.tables.schema import EMBEDDING_DIM

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import ClapTextModelWithProjection, RobertaTokenizerFast, SpeechT5HifiGan

SAMPLE_RATE = 16_000
HOP_LENGTH = 160
MEL_BINS = 64
LATENT_CHANNELS = 8

VAE_CHANNELS = [16, 32, 64, 96]  # three halvings: 8 mel frames a latent frame (AudioLDM: 4)

UNET_CHANNELS = [64, 96, 128]

VAE_CONFIG: dict[str, JSON] = {
    "in_channels": 1,
    "out_channels": 1,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": VAE_CHANNELS,
    "layers_per_block": 1,
    "latent_channels": LATENT_CHANNELS,
    "norm_num_groups": 8,
    "scaling_factor": 1.0,
}
UNET_CONFIG: dict[str, JSON] = {
    "in_channels": LATENT_CHANNELS,
    "out_channels": LATENT_CHANNELS,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "block_out_channels": UNET_CHANNELS,
    "cross_attention_dim": UNET_CHANNELS,  # self-attention in place of cross-attention, as in AudioLDM
    "layers_per_block": 1,
    "attention_head_dim": 4,
    "norm_num_groups": 16,
    "class_embed_type": "simple_projection",
    "projection_class_embeddings_input_dim": EMBEDDING_DIM,
    "class_embeddings_concat": True,
}
VOCODER_CONFIG: dict[str, JSON] = {
    "model_in_dim": MEL_BINS,
    "sampling_rate": SAMPLE_RATE,
    # A stage at the frame rate, where computing is cheap, then two to the sample rate: their product is the hop length.
    "upsample_initial_channel": 128,
    "upsample_rates": [1, 20, 8],
    "upsample_kernel_sizes": [5, 60, 32],
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3]],
    "normalize_before": False,
}
SCHEDULER_CONFIG: dict[str, JSON] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.0015,
    "beta_end": 0.0195,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "prediction_type": "epsilon",
}
# Entries of a 512-d vector of unit length are about 0.04: at the default scale the condition would not be heard.
CLASS_EMBEDDING_STD = 0.7
# About the range of AudioLDM's log-mels, ln of 1e-5..10: the untrained decoder's output is brought into it.
MEL_MEAN, MEL_STD = -5.0, 2.0
WAVEFORM_RMS = 0.1
CALIBRATION_FRAMES = 64  # latent frames, 5.12 s


def save_audioldm(
    folder: Path,
    seed: int,
    text_encoder: ClapTextModelWithProjection,
    tokenizer: RobertaTokenizerFast,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write an untrained AudioLDM in the diffusers layout, safetensors only.

    Args:
        folder: Where; made if missing.
        seed: Seed of the weights; the global random state is left as it was.
        text_encoder: Saved as it is: its tensors must equal the CLAP checkpoint's.
        tokenizer: Its own.
        dtype: Type in which VAE, UNet and vocoder are stored.
    """
    vae, unet, vocoder = build_vae(seed), build_unet(seed + 1), build_vocoder(seed + 2)
    calibrate(vae, vocoder, seed + 3)
    for model in (vae, unet, vocoder):
        torch.nn.Module.to(model, dtype)  # the class's own `to` warns about parts that none of these models has
    models = {"vae": vae, "unet": unet, "vocoder": vocoder, "text_encoder": text_encoder, "tokenizer": tokenizer}
    save_parts(folder, models, build_scheduler())


def save_parts(folder: Path, models: Mapping[str, Any], scheduler: DDIMScheduler) -> None:
    """Write a generator's folder in diffusers' layout: models and tokenizer by their names, scheduler, index."""
    parts = {**models, "scheduler": scheduler}
    with without_progress_bars():
        for name, part in parts.items():
            part.save_pretrained(folder / name)
    config_file = folder / "scheduler" / "scheduler_config.json"
    config = json.loads(config_file.read_text(encoding="utf-8"))
    # Unsaid in the published folders, where each sampler takes its own spacing; diffusers writes DDIM's.
    del config["timestep_spacing"]
    config_file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    write_model_index(folder, parts)


def write_model_index(folder: Path, parts: Mapping[str, object]) -> None:
    """Write `model_index.json`, which names each part's library and class, as `AudioLDMPipeline` would."""
    import diffusers

    index: dict[str, object] = {"_class_name": "AudioLDMPipeline", "_diffusers_version": diffusers.__version__}
    for name, part in sorted(parts.items()):
        index[name] = [type(part).__module__.partition(".")[0], type(part).__name__]
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def build_vae(seed: int) -> AutoencoderKL:
    """A tiny VAE: log-mels (B, 1, T, 64) from and to latents (B, 8, T / 8, 8)."""
    prepare_torchvision()
    from diffusers import AutoencoderKL

    with seeded(seed):
        return AutoencoderKL(**VAE_CONFIG).eval()


def build_unet(seed: int, width: int = 1) -> UNet2DConditionModel:
    """A tiny UNet on latents (B, 8, H, W), conditioned on class labels (B, 512) of unit length.

    Args:
        seed: Of its weights.
        width: How many times as many channels as the miniature's it has.
    """
    prepare_torchvision()
    from diffusers import UNet2DConditionModel

    with seeded(seed):
        unet = UNet2DConditionModel(**_widened(width)).eval()
        torch.nn.init.normal_(unet.class_embedding.weight, std=CLASS_EMBEDDING_STD)
    return unet


def _widened(width: int) -> dict[str, Any]:
    channels = [width * count for count in UNET_CHANNELS]
    return {**UNET_CONFIG, "block_out_channels": channels, "cross_attention_dim": channels}


def build_scheduler() -> DDIMScheduler:
    """A scheduler with AudioLDM's noise schedule."""
    prepare_torchvision()
    from diffusers import DDIMScheduler

    return DDIMScheduler(**SCHEDULER_CONFIG)


def build_vocoder(seed: int) -> SpeechT5HifiGan:
    """A tiny vocoder: log-mels (B, T, 64) to waveforms (B, 160 T) at 16 kHz."""
    prepare_torchvision()
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    with seeded(seed):
        vocoder = SpeechT5HifiGan(SpeechT5HifiGanConfig(**VOCODER_CONFIG)).eval()
        # The class starts from weights of 0.01, with which hardly any of the mel reaches the waveform.
        for module in vocoder.modules():
            if isinstance(module, torch.nn.Conv1d):
                torch.nn.init.kaiming_normal_(module.weight, a=vocoder.config.leaky_relu_slope)
            elif isinstance(module, torch.nn.ConvTranspose1d):
                reach = module.in_channels * module.kernel_size[0] / module.stride[0]
                torch.nn.init.normal_(module.weight, std=(2 / reach) ** 0.5)
    return vocoder


@torch.no_grad()
def calibrate(vae: AutoencoderKL, vocoder: SpeechT5HifiGan, seed: int) -> None:
    """Scale the last layers so that random weights make a sound that is neither silent nor clipped."""
    width = MEL_BINS // 2 ** (len(VAE_CHANNELS) - 1)
    with seeded(seed):
        latents_BCHW = torch.randn(2, LATENT_CHANNELS, CALIBRATION_FRAMES, width)
    with _outputs_set(vae.decoder.conv_out, mean=MEL_MEAN, std=MEL_STD):
        vae.decode(latents_BCHW)
    mels_BTM = vae.decode(latents_BCHW).sample[:, 0]
    with _outputs_set(vocoder.conv_post, mean=0.0, std=WAVEFORM_RMS):
        vocoder(mels_BTM)


@contextmanager
def _outputs_set(layer: torch.nn.Conv1d | torch.nn.Conv2d, *, mean: float, std: float) -> Iterator[None]:
    """Make a layer give this mean and standard deviation on what runs through it inside the block."""
    seen: list[torch.Tensor] = []
    hook = layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    yield
    hook.remove()
    scale = std / seen[0].std()
    layer.weight.mul_(scale)
    if layer.bias is not None:
        layer.bias.mul_(scale).add_(mean - scale * seen[0].mean())
