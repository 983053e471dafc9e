"""The parts of an AudioLDM checkpoint in diffusers' layout, and the sizes they agree on.

    <folder>/unet, vae, vocoder, scheduler, text_encoder, tokenizer

Only safetensors are read. All sizes come from the parts' own configurations. diffusers and transformers are hardly
typed: their models are Any here, and named in the docstrings.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from v2a_core.compute.torchvision_import import prepare_torchvision
from v2a_core.models.finite import check_finite

# Names of diffusers' schedulers, and what each is told beside the checkpoint's noise schedule.
SAMPLERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "dpm-solver++": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "dpm-solver++-sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "euler": ("EulerDiscreteScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
}


@dataclass(frozen=True)
class Geometry:
    """How long a sound is at each stage.

    Attributes:
        sample_rate: Rate of the waveform, Hz.
        hop_length: Samples a log-mel frame.
        mel_bins: Height of a log-mel frame.
        condition_dim: Length of a condition vector.
        latent_channels: Channels of a latent.
        vae_factor: Log-mel frames (and bins) a latent frame (and bin).
        unet_factor: The UNet halves latents until this many are one: their number is a multiple of it.
    """

    sample_rate: int
    hop_length: int
    mel_bins: int
    condition_dim: int
    latent_channels: int
    vae_factor: int
    unet_factor: int

    @property
    def frame_s(self) -> float:
        """Length of a latent frame in seconds."""
        return self.vae_factor * self.hop_length / self.sample_rate

    @property
    def latent_bins(self) -> int:
        """Width of latents."""
        return self.mel_bins // self.vae_factor

    def samples(self, duration_s: float) -> int:
        """Samples of a sound."""
        return round(duration_s * self.sample_rate)

    def latent_shape(self, duration_s: float) -> tuple[int, int, int]:
        """(channels, frames, bins) of the shortest latents that cover a sound."""
        mel_frames = math.ceil(self.samples(duration_s) / self.hop_length)
        frames = math.ceil(mel_frames / (self.vae_factor * self.unet_factor)) * self.unet_factor
        return self.latent_channels, frames, self.latent_bins


@dataclass(frozen=True)
class AudioLdmParts:
    """What turns conditions into sound.

    Attributes:
        unet: UNet2DConditionModel, in the compute dtype.
        vae: AutoencoderKL, in the compute dtype; on a GPU in float32.
        vocoder: SpeechT5HifiGan, float32.
        scheduler_config: The checkpoint's noise schedule.
        geometry: The sizes the models agree on.
    """

    unet: Any
    vae: Any
    vocoder: Any
    scheduler_config: Mapping[str, Any]
    geometry: Geometry


def load_parts(folder: Path, device: str, dtype: torch.dtype) -> AudioLdmParts:
    """Load everything but the text side.

    Raises:
        ValueError: Naming what is missing, or which parts do not fit together.
    """
    prepare_torchvision()
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import SpeechT5HifiGan

    if not (folder / "scheduler" / "scheduler_config.json").is_file():
        raise ValueError(f"{folder} is no AudioLDM in diffusers' layout: scheduler/scheduler_config.json is missing")
    unet = _load(UNet2DConditionModel, folder / "unet", dtype, low_cpu_mem_usage=False)
    vae = _load(AutoencoderKL, folder / "vae", vae_dtype(device, dtype), low_cpu_mem_usage=False)
    vocoder = _load(SpeechT5HifiGan, folder / "vocoder", torch.float32)
    geometry = read_geometry(unet.config, vae.config, vocoder.config)
    config = DDIMScheduler.load_config(folder / "scheduler", local_files_only=True)
    # Convolutions are faster with the channels last, on CPUs and GPUs, and the tape of the sampler has them there.
    for model in (unet, vae):
        _channels_last(model)
    return AudioLdmParts(unet.to(device), vae.to(device), vocoder.to(device), config, geometry)


def vae_dtype(device: str, dtype: torch.dtype) -> torch.dtype:
    """The number format of the VAE beside a UNet of `dtype`.

    bf16 rounds log-mels by 0.03 to 0.06. On a GPU the VAE takes next to no time beside the UNet.
    """
    return torch.float32 if device.startswith("cuda") else dtype


def load_text_side(folder: Path, device: str) -> tuple[Any, Any]:
    """The CLAP text encoder (ClapTextModelWithProjection, float32) and its RobertaTokenizerFast.

    Raises:
        ValueError: When they are missing.
    """
    prepare_torchvision()
    from transformers import ClapTextModelWithProjection, RobertaTokenizerFast

    if not (folder / "tokenizer").is_dir():
        raise ValueError(f"{folder} has no tokenizer: text and guidance need tokenizer/ and text_encoder/")
    encoder = _load(ClapTextModelWithProjection, folder / "text_encoder", torch.float32)
    return encoder.to(device), RobertaTokenizerFast.from_pretrained(folder / "tokenizer", local_files_only=True)


def build_scheduler(sampler: str, config: Mapping[str, Any]) -> Any:
    """A sampler on the checkpoint's noise schedule. It keeps state while it samples: one for each batch."""
    import diffusers

    name, options = SAMPLERS[sampler]
    return getattr(diffusers, name).from_config(dict(config), **options)


def read_geometry(unet: Any, vae: Any, vocoder: Any) -> Geometry:
    """The sizes of three parts, from their configurations.

    Raises:
        ValueError: When they cannot belong to one AudioLDM.
    """
    if vae.latent_channels != unet.in_channels:
        raise ValueError(f"the VAE makes latents of {vae.latent_channels} channels, the UNet takes {unet.in_channels}")
    if unet.class_embed_type != "simple_projection":
        raise ValueError(f"the UNet takes no sound embedding: class_embed_type is {unet.class_embed_type!r}")
    vae_factor = 2 ** (len(vae.block_out_channels) - 1)
    if vocoder.model_in_dim % vae_factor:
        raise ValueError(f"the vocoder's {vocoder.model_in_dim} mel bins are no multiple of the VAE's {vae_factor}")
    return Geometry(
        sample_rate=vocoder.sampling_rate,
        hop_length=math.prod(vocoder.upsample_rates),
        mel_bins=vocoder.model_in_dim,
        condition_dim=unet.projection_class_embeddings_input_dim,
        latent_channels=unet.in_channels,
        vae_factor=vae_factor,
        unet_factor=2 ** (len(unet.block_out_channels) - 1),
    )


def weights_variant(folder: Path) -> str | None:
    """Which weights of a part to read: None for `*.safetensors`, "fp16" when there is only `*.fp16.safetensors`.

    Raises:
        ValueError: When there are none: weights in other formats may run code when they are read.
    """
    names = [file.name for file in folder.glob("*.safetensors*")]
    if any(".fp16." not in name for name in names):
        return None
    if names:
        return "fp16"
    others = ", ".join(sorted(file.name for file in folder.glob("*.bin"))) or "no weights at all"
    raise ValueError(f"no safetensors in {folder} (found {others}); convert the checkpoint, pickles are not read")


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Loading and saving in silence: bars of many workers make a log unreadable."""
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _channels_last(model: torch.nn.Module) -> None:
    for parameter in model.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def _load(model_class: Any, folder: Path, dtype: torch.dtype, **options: Any) -> Any:
    with without_progress_bars():
        model, report = model_class.from_pretrained(
            folder,
            dtype=dtype,
            variant=weights_variant(folder),
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, with the other misfits
            **options,
        )
    # from_pretrained only warns, and leaves random numbers where weights are missing.
    misfits = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
    if misfits:
        raise ValueError(
            f"the weights in {folder} do not fit its config.json: {len(misfits)} tensors are missing or of another "
            f"shape, such as {misfits[0]}"
        )
    check_finite(str(folder), model.state_dict())
    return model.eval().requires_grad_(False)
