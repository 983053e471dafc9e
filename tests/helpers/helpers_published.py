"""The files of the paper's bundles as they are published, at their size, with random weights in half precision.

A hub's cache has them under the names of the repositories, with what else lies there; the original checkpoints are
Lightning's, with raw and averaged weights and all of CLAP.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from helpers_audioldm import AUDIOLDM_S_UNET, AUDIOLDM_VAE, AUDIOLDM_VOCODER
from helpers_models import CLIP, full_clap
from helpers_original import Original
from safetensors.torch import save_file
from torch import Tensor

from v2a_core.compute.torchvision_import import prepare_torchvision
from v2a_core.generators.audioldm.layout import PARTS
from v2a_core.generators.audioldm.original import OriginalCheckpoint
from v2a_core.models import load_bundle

# A prime number of numbers, so that tensors that are filled with them again and again have no equal rows.
_NUMBERS = 999_983
_SCHEDULER = {
    "_class_name": "DDIMScheduler", "_diffusers_version": "0.15.0.dev0", "beta_end": 0.0195,
    "beta_schedule": "scaled_linear", "beta_start": 0.0015, "clip_sample": False, "num_train_timesteps": 1000,
    "prediction_type": "epsilon", "set_alpha_to_one": False, "steps_offset": 1, "trained_betas": None,
}  # fmt: skip
_TEXT = {
    "architectures": ["ClapTextModelWithProjection"], "hidden_size": 768, "intermediate_size": 3072,
    "layer_norm_eps": 1e-12, "max_position_embeddings": 514, "model_type": "clap_text_model", "num_attention_heads": 12,
    "num_hidden_layers": 12, "pad_token_id": 1, "projection_dim": 512, "projection_hidden_act": "relu",
    "type_vocab_size": 1, "vocab_size": 50_265,
}  # fmt: skip


@dataclass(frozen=True)
class Size:
    """What distinguishes an AudioLDM.

    Attributes:
        width: Channels of the UNet's first level.
        head_channels: Channels of an attention head in its authors' code.
        clap: Its CLAP's audio tower.
        scale_factor: Of its latents.
    """

    width: int
    head_channels: int
    clap: str
    scale_factor: float


class Filling:
    """Random numbers for tensors without any: cheap float16 of one drawn stretch, at the scale of fresh weights."""

    def __init__(self) -> None:
        drawn = torch.randn(_NUMBERS, generator=torch.Generator().manual_seed(0)).half()
        self._drawn = drawn.repeat(2)
        self._at = 0

    def __call__(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors; those of the device `meta` with numbers."""
        return {name: self._filled(name, item) if item.is_meta else item for name, item in tensors.items()}

    def _filled(self, name: str, tensor: Tensor) -> Tensor:
        if tensor.ndim < 2:
            return torch.full(tensor.shape, float(name.endswith("weight")), dtype=torch.float16)
        self._at = (self._at + 7919) % _NUMBERS
        times = math.ceil(tensor.numel() / _NUMBERS)
        drawn = self._drawn[self._at : self._at + _NUMBERS].repeat(times)[: tensor.numel()].view(tensor.shape)
        return drawn.mul_(tensor[0].numel() ** -0.5)


def hub_folder(hub: Path, repo: str, commit: str = "0" * 40) -> Path:
    """An empty snapshot of a repository in a hub's cache, which is what its branch `main` is."""
    cached = hub / f"models--{repo.replace('/', '--')}"
    (cached / "refs").mkdir(parents=True, exist_ok=True)
    (cached / "refs" / "main").write_text(commit)
    folder = cached / "snapshots" / commit
    folder.mkdir(parents=True)
    return folder


def save(tensors: Mapping[str, Tensor], path: Path) -> Path:
    """Tensors as safetensors or as a pickle, by the file's ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file(dict(tensors), path, {"format": "pt"})
    else:
        torch.save(dict(tensors), path)
    return path


def save_checkpoint(path: Path, size: Size) -> Path:
    """AudioLDM's original checkpoint: raw and averaged weights, VAE, vocoder and all of CLAP."""
    fill = Filling()
    with torch.device("meta"):
        original = Original(size.width, size.head_channels, small=False)
    original.scale_factor = size.scale_factor
    audio = {
        f"cond_stage_model.model.{name}": tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in full_clap(size.clap).items()
        if name.startswith("audio_")
    }
    tensors = {**fill(original.state_dict()), **audio}
    torch.save({"epoch": 3, "global_step": 70, "lr_schedulers": [], "state_dict": tensors}, path)
    return path


def save_generator(folder: Path, checkpoint: Path, size: Size, ending: str) -> None:
    """The folder that diffusers' conversion makes of a checkpoint's averaged weights: it leaves 8 heads everywhere."""
    widths = [size.width * factor for factor in (1, 2, 3, 5)]
    configs: dict[str, dict[str, Any]] = {
        "unet": {**AUDIOLDM_S_UNET, "block_out_channels": widths, "cross_attention_dim": widths},
        "vae": {**AUDIOLDM_VAE, "scaling_factor": size.scale_factor},
        "vocoder": AUDIOLDM_VOCODER,
        "text_encoder": _TEXT,
    }
    shipped = load_bundle("miniature").resolve().generator_path
    source = OriginalCheckpoint(checkpoint, shipped / "tokenizer", "ema", size.head_channels)
    for part in PARTS:
        stem = "diffusion_pytorch_model" if part in ("unet", "vae") else "model"
        stem = "pytorch_model" if stem == "model" and ending == ".bin" else stem
        tensors = {name: tensor.contiguous() for name, tensor in source.tensors(part).items()}
        save(tensors, folder / part / f"{stem}{ending}")
        (folder / part / "config.json").write_text(json.dumps(configs[part]))
    shutil.copytree(shipped / "tokenizer", folder / "tokenizer")
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(_SCHEDULER))
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "AudioLDMPipeline"}))
    (folder / "README.md").write_text("# AudioLDM")
    if ending == ".safetensors":  # the same weights again, which nobody reads
        (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"as a pickle")


def save_clip(folder: Path, name: str) -> None:
    """OpenAI's CLIP as open_clip has it on the hub, with timm's weights of the same tower and a demo beside it."""
    prepare_torchvision()
    import open_clip

    config = open_clip.get_model_config(CLIP)
    model = open_clip.CLIP(**config)
    save({key: item.half() for key, item in model.state_dict().items()}, folder / name)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    (folder / "config.json").write_text(json.dumps({"architecture": "vit_base_patch32_clip_quickgelu_224"}))
    save({"of.timm": torch.ones(1)}, folder / "model.safetensors")


def save_blip(folder: Path, *, captions: bool = False) -> None:
    """BLIP of image-text retrieval, or of captions, as a pickle, and what its processors want."""
    prepare_torchvision()
    from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipForImageTextRetrieval

    folder.mkdir(parents=True, exist_ok=True)
    with torch.device("meta"):
        model_class = BlipForConditionalGeneration if captions else BlipForImageTextRetrieval
        model = model_class(BlipConfig(vision_config={"image_size": 384}))
    save(Filling()(model.state_dict()), folder / "pytorch_model.bin")
    model.config.save_pretrained(folder)
    (folder / "tf_model.h5").write_bytes(b"of another library")
    side = {"height": 384, "width": 384}
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "BlipImageProcessor", "size": side})
    )
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"word{index}" for index in range(30_519))]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
