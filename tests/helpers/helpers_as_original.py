"""A generator's folder in diffusers' layout as its authors' checkpoint would be: the same weights under their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from v2a_core.generators.audioldm.layout import DiffusersFolder

_RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
    "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip
_UNET = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2", "class_embedding": "film_emb",
    "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
}  # fmt: skip
_VAE = (
    ("down_blocks.", "down."), (".resnets.", ".block."), (".downsamplers.0.", ".downsample."),
    (".upsamplers.0.", ".upsample."), ("mid_block.block.0.", "mid.block_1."), ("mid_block.block.1.", "mid.block_2."),
    ("mid_block.attentions.0.group_norm.", "mid.attn_1.norm."),
    ("mid_block.attentions.0.to_out.0.", "mid.attn_1.proj_out."), ("mid_block.attentions.0.to_", "mid.attn_1."),
    ("conv_norm_out", "norm_out"), ("conv_shortcut", "nin_shortcut"),
)  # fmt: skip
_TEXT = (
    ("text_model.", "text_branch."),
    ("projection.linear1.", "projection.0."),
    ("projection.linear2.", "projection.2."),
)


def save_as_original(folder: Path, path: Path, *, averaged: bool = True) -> Path:
    """Write the checkpoint that a folder could have been made of.

    Args:
        folder: The generator.
        path: The checkpoint.
        averaged: Whether the folder holds its averaged weights (the raw ones are others then), or its raw ones.
    """
    source = DiffusersFolder(folder)
    unet = {_unet(name): tensor.clone() for name, tensor in source.tensors("unet").items()}
    others = {name: tensor + 0.01 if tensor.is_floating_point() else tensor for name, tensor in unet.items()}
    raw, ema = (others, unet) if averaged else (unet, others)
    tensors: dict[str, Tensor] = {f"model.diffusion_model.{name}": tensor for name, tensor in raw.items()}
    tensors |= {f"model_ema.diffusion_model{name.replace('.', '')}": tensor for name, tensor in ema.items()}
    levels = len(source.config("vae")["block_out_channels"])
    for name, tensor in source.tensors("vae").items():
        is_attention = re.search(r"attentions\.0\.to_.*weight$", name)
        tensors[f"first_stage_model.{_vae(name, levels)}"] = tensor[:, :, None, None] if is_attention else tensor
    vocoder = {name: tensor for name, tensor in source.tensors("vocoder").items() if name not in ("mean", "scale")}
    tensors |= {f"first_stage_model.vocoder.{re.sub('^upsampler', 'ups', name)}": vocoder[name] for name in vocoder}
    text = source.tensors("text_encoder")
    tensors |= {f"cond_stage_model.model.{_renamed(name, _TEXT)}": tensor for name, tensor in text.items()}
    tensors["scale_factor"] = torch.tensor(float(source.config("vae")["scaling_factor"]))
    state = {name: tensor.clone() for name, tensor in tensors.items()}
    torch.save({"epoch": 3, "global_step": 70, "state_dict": state}, path)
    return path


def _unet(name: str, a_level: int = 2) -> str:
    """A name of diffusers' UNet with one resnet a level on the way down as openaimodel's."""
    for old, new in _UNET.items():
        if name.startswith(f"{old}."):
            return name.replace(old, new, 1)
    found = re.match(
        r"(down|up|mid)_blocks?\.(?:(\d)\.)?(resnets|attentions|downsamplers|upsamplers)\.(\d)\.(.*)", name
    )
    assert found is not None, name
    where, level, kind, index, rest = found[1], int(found[2] or 0), found[3], int(found[4]), found[5]
    if kind == "resnets":
        part, _, end = rest.partition(".")
        rest = f"{_RESNET[part]}.{end}"
    if where == "mid":
        return f"middle_block.{1 if kind == 'attentions' else 2 * index}.{rest}"
    side, first = ("input_blocks", 1) if where == "down" else ("output_blocks", 0)
    last = first + level * a_level + a_level - 1
    if kind == "downsamplers":
        return f"{side}.{last}.0.op.{rest.removeprefix('conv.')}"
    if kind == "upsamplers":  # behind the attention, which all levels that are doubled have
        return f"{side}.{last}.2.{rest}"
    return f"{side}.{first + level * a_level + index}.{int(kind == 'attentions')}.{rest}"


def _vae(name: str, levels: int) -> str:
    name = re.sub(r"up_blocks\.(\d)", lambda found: f"up.{levels - 1 - int(found[1])}", name)
    return _renamed(name, _VAE)


def _renamed(name: str, rules: Sequence[tuple[str, str]]) -> str:
    for old, new in rules:
        name = name.replace(old, new)
    return name
