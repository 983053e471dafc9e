"""The parts of an AudioLDM as models with weights, and the sizes they agree on.

Weights are read as plain tensors, of whatever source, and must fit the class of their part by every name and shape. All
sizes come from the parts' own configurations. diffusers and transformers are hardly typed: their models are Any here,
and named in the docstrings.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from v2a_core.compute.diffusers_import import scheduler_class
from v2a_core.compute.torchvision_import import prepare_torchvision
from v2a_core.generators.audioldm.layout import PARTS, AudioLdmSource, DiffusersFolder, PartName
from v2a_core.models.checkpoints import check_fit, load_exactly
from v2a_core.models.errors import ModelError
from v2a_core.models.unset import UnsetWeights

# Names of diffusers' schedulers, and what each is told beside the checkpoint's noise schedule.
SAMPLERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "dpm-solver++": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "dpm-solver++-sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "euler": ("EulerDiscreteScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
}


# Library and class of each part.
_CLASSES = {
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"),
    "vocoder": ("transformers", "SpeechT5HifiGan"),
    "text_encoder": ("transformers", "ClapTextModelWithProjection"),
}
# Buffers that some files hold and others lack: what they say is known, or is not used.
_COUNTERS = (".position_ids", ".token_type_ids")
_MAY_LACK = {"unet": (), "vae": (), "vocoder": ("mean", "scale"), "text_encoder": _COUNTERS}


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


def as_source(source: Path | AudioLdmSource) -> AudioLdmSource:
    """A folder as what it holds."""
    return DiffusersFolder(source) if isinstance(source, Path) else source


def build(source: AudioLdmSource, part: PartName, dtype: torch.dtype = torch.float32) -> Any:
    """A part with its weights, ready to compute, on the CPU.

    Args:
        source: A folder or the original checkpoint.
        part: Which one.
        dtype: Number format of its weights.

    Raises:
        ModelError: Naming what is missing or of another shape.
    """
    model, tensors = _unset(source, part), _weights(source, part)
    load_exactly(model, tensors, source.place(part), may_lack=_lacking(model, part), dtype=dtype)
    return model.eval()


def check_source(source: AudioLdmSource) -> Geometry:
    """Compare the names and shapes of all parts with their classes, and the parts with each other; no weights are read.

    Raises:
        ModelError: Naming the part, and what does not fit.
    """
    for part in PARTS:
        model = _unset(source, part)
        check_fit(model, _weights(source, part), source.place(part), may_lack=_lacking(model, part))
    _check_tokenizer(source)
    source.scheduler_config()
    return read_sizes(source)


def read_sizes(source: AudioLdmSource) -> Geometry:
    """The sizes of a generator, from its configurations; no weights are read.

    Raises:
        ModelError: When its parts cannot belong to one AudioLDM.
    """
    return read_geometry(*(_unset(source, part).config for part in ("unet", "vae", "vocoder")))


def load_parts(source: Path | AudioLdmSource, device: str, dtype: torch.dtype) -> AudioLdmParts:
    """Load everything but the text side.

    Raises:
        ModelError: Naming what is missing, or which parts do not fit together.
    """
    source = as_source(source)
    config = source.scheduler_config()
    unet, vocoder = build(source, "unet", dtype), build(source, "vocoder")
    vae = build(source, "vae", vae_dtype(device, dtype))
    geometry = read_geometry(unet.config, vae.config, vocoder.config)
    # Convolutions are faster with the channels last, on CPUs and GPUs, and the tape of the sampler has them there.
    for model in (unet, vae):
        _channels_last(model)
    return AudioLdmParts(unet.to(device), vae.to(device), vocoder.to(device), config, geometry)


def vae_dtype(device: str, dtype: torch.dtype) -> torch.dtype:
    """The number format of the VAE beside a UNet of `dtype`.

    bf16 rounds log-mels by 0.03 to 0.06. On a GPU the VAE takes next to no time beside the UNet.
    """
    return torch.float32 if device.startswith("cuda") else dtype


def load_text_side(source: Path | AudioLdmSource, device: str) -> tuple[Any, Any]:
    """The CLAP text encoder (ClapTextModelWithProjection, float32) and its RobertaTokenizerFast.

    Raises:
        ModelError: When they are missing.
    """
    prepare_torchvision()
    from transformers import RobertaTokenizerFast

    source = as_source(source)
    _check_tokenizer(source)
    encoder = build(source, "text_encoder")
    return encoder.to(device), RobertaTokenizerFast.from_pretrained(source.tokenizer, local_files_only=True)


def build_scheduler(sampler: str, config: Mapping[str, Any]) -> Any:
    """A sampler on the checkpoint's noise schedule. It keeps state while it samples: one for each batch."""
    name, options = SAMPLERS[sampler]
    return scheduler_class(name).from_config(dict(config), **options)


def read_geometry(unet: Any, vae: Any, vocoder: Any) -> Geometry:
    """The sizes of three parts, from their configurations.

    Raises:
        ModelError: When they cannot belong to one AudioLDM.
    """
    if vae.latent_channels != unet.in_channels:
        raise ModelError(f"the VAE makes latents of {vae.latent_channels} channels, the UNet takes {unet.in_channels}")
    if unet.class_embed_type != "simple_projection":
        raise ModelError(f"the UNet takes no sound embedding: class_embed_type is {unet.class_embed_type!r}")
    vae_factor = 2 ** (len(vae.block_out_channels) - 1)
    if vocoder.model_in_dim % vae_factor:
        raise ModelError(f"the vocoder's {vocoder.model_in_dim} mel bins are no multiple of the VAE's {vae_factor}")
    return Geometry(
        sample_rate=vocoder.sampling_rate,
        hop_length=math.prod(vocoder.upsample_rates),
        mel_bins=vocoder.model_in_dim,
        condition_dim=unet.projection_class_embeddings_input_dim,
        latent_channels=unet.in_channels,
        vae_factor=vae_factor,
        unet_factor=2 ** (len(unet.block_out_channels) - 1),
    )


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


def _unset(source: AudioLdmSource, part: PartName) -> Any:
    """A part as it is built, without weights."""
    prepare_torchvision()
    library, name = _CLASSES[part]
    model_class = getattr(importlib.import_module(library), name)
    config = source.config(part)
    try:
        with UnsetWeights():
            if library == "diffusers":
                return model_class.from_config(config)
            return model_class(model_class.config_class.from_dict(config))
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{source.place(part)}: {name} cannot be built as its configuration says: {error}") from None


def _weights(source: AudioLdmSource, part: PartName) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in source.tensors(part).items() if not name.endswith(_COUNTERS)}


def _lacking(model: Any, part: PartName) -> tuple[str, ...]:
    """Names that weights may lack: the vocoder's mean and scale are of use only where it normalises its input."""
    return () if part == "vocoder" and model.config.normalize_before else _MAY_LACK[part]


def _check_tokenizer(source: AudioLdmSource) -> None:
    if not source.tokenizer.is_dir():
        raise ModelError(
            f"{source.path} has no tokenizer: text and guidance need {source.tokenizer} and a text encoder"
        )
