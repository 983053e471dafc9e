"""Bundles that stand where the paper has other models than the miniature's: BLIP's eyes, a small and a large AudioLDM.

Each is the miniature with one part exchanged for another of the real class, at tiny size, with seeded weights that
nobody trained. So every row of the paper can be run offline, through the code that runs the real models; what such a
part makes of pictures or of noise means nothing, its size and its speed do.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import yaml

from v2a_core import storage
from v2a_core.models.bundle import BUNDLE_FILE, IN_PACKAGE, load_bundle

StandIn = Literal["blip", "small", "large"]
STAND_INS: tuple[StandIn, ...] = ("blip", "small", "large")

_ROOT = f"{IN_PACKAGE}v2a_core/miniature/weights"
# Numbers of BLIP's embeddings, as published: fewer than the generator takes.
_BLIP_DIM = 256
_BLIP_VISION = {"hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 3, "num_attention_heads": 3}
_BLIP_VISION |= {"image_size": 64, "patch_size": 16}
_BLIP_TEXT = {"vocab_size": 32, "hidden_size": 32, "encoder_hidden_size": 32, "intermediate_size": 64}
_BLIP_TEXT |= {"num_hidden_layers": 1, "num_attention_heads": 2, "bos_token_id": 2, "sep_token_id": 3}
# AudioLDM-l has twice the channels of AudioLDM-s.
_WIDTHS = {"small": 1, "large": 2}
_KEPT = ("scheduler", "text_encoder", "tokenizer", "vae", "vocoder")


def write_stand_in(name: StandIn, folder: Path, seed: int = 0) -> str:
    """Write a stand-in; what an earlier call has written is kept.

    Args:
        name: Which.
        folder: Local, of the bundle.
        seed: Of the weights.

    Returns:
        The bundle's folder, for `--models`.
    """
    folder = folder.resolve()
    if name == "blip":
        if not (folder / "vision" / "model.safetensors").is_file():
            _write_blip(folder / "vision", seed)
        parts = {"vision": {"encoder": "blip", "model": "blip-miniature", "weights": str(folder / "vision")}}
    else:
        if not (folder / "generator" / "model_index.json").is_file():
            _write_audioldm(folder / "generator", _WIDTHS[name], seed)
        parts = {"generator": {"weights": str(folder / "generator")}}
    description = {
        "name": f"miniature-{name}",
        "trained": False,
        "licence": "Apache-2.0",
        "root": _ROOT,
        "vision": {"model": "ViT-miniature", "weights": "./vision"},
        "audio": {"weights": "./audio"},
        "generator": {"weights": "./generator"},
        **parts,
    }
    storage.write_bytes(str(folder / BUNDLE_FILE), yaml.safe_dump(description, sort_keys=False).encode())
    return str(folder)


def _write_blip(folder: Path, seed: int) -> None:
    """BLIP of image-text retrieval: its image side is an encoder."""
    from v2a_core.compute.torchvision_import import prepare_torchvision
    from v2a_core.generators.audioldm.components import without_progress_bars
    from v2a_core.miniature.seeded import seeded

    prepare_torchvision()
    import torch
    from transformers import BlipConfig, BlipForImageTextRetrieval

    config = BlipConfig(text_config=_BLIP_TEXT, vision_config=_BLIP_VISION, image_text_hidden_size=_BLIP_DIM)
    with seeded(seed), torch.no_grad():
        model = BlipForImageTextRetrieval(config)
        # At the usual scale of fresh weights so small a network tells no pictures apart.
        for parameter in model.vision_model.parameters():
            if parameter.ndim >= 2:
                parameter.normal_(std=parameter[0].numel() ** -0.5)
    with without_progress_bars():
        model.save_pretrained(folder)


def _write_audioldm(folder: Path, width: int, seed: int) -> None:
    """The miniature's AudioLDM with another UNet: its text tower, VAE and vocoder stay, so does the space."""
    import torch

    from v2a_core.generators.audioldm.components import without_progress_bars
    from v2a_core.miniature.audioldm import build_unet

    source = load_bundle("miniature").resolve().generator_path
    for part in _KEPT:
        shutil.copytree(source / part, folder / part, dirs_exist_ok=True)
    with without_progress_bars():
        unet = build_unet(seed + width, width)
        torch.nn.Module.to(unet, torch.float16)  # the class's own `to` warns about parts that it does not have
        unet.save_pretrained(folder / "unet")
    # Last: a folder without it is not whole.
    shutil.copyfile(source / "model_index.json", folder / "model_index.json")
