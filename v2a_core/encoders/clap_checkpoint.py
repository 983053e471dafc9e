"""CLAP's checkpoints in the layouts that were published, brought to laion's names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from v2a_core.models.checkpoints import load_tensors, part_weights

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]

_NOT_WEIGHTS = (".position_ids", ".token_type_ids", ".num_batches_tracked")
_TEXT = ("text_branch.", "text_projection.")

# transformers' names of HTSAT's parts -> laion's. The order matters: `attention.output` before `output`.
_HTSAT_NAMES = (
    ("batch_norm.", "bn0."),
    ("layernorm_before.", "norm1."),
    ("layernorm_after.", "norm2."),
    ("attention.self.", "attn."),
    ("attention.output.dense.", "attn.proj."),
    ("intermediate.dense.", "mlp.fc1."),
    ("output.dense.", "mlp.fc2."),
)


def load_text_tower(path: Path) -> Tensors:
    """The text tower of a CLAP checkpoint, or of the `text_encoder` folder of a generator; nothing: it has none."""
    tensors = load_text_encoder(path) if path.is_dir() else load_clap(path)
    return {name: tensor for name, tensor in tensors.items() if name.startswith(_TEXT)}


def load_clap(path: Path) -> Tensors:
    """The tensors of a CLAP checkpoint, named as laion's.

    Read are: laion_clap's checkpoints, AudioLDM's original checkpoints (under `cond_stage_model.model.`), and
    transformers' `ClapModel`. Keys that hold no weights (position_ids, batch counters) are left out.
    """
    tensors = load_tensors(path)
    for prefix in ("cond_stage_model.model.", "module."):
        if any(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    if any(name.startswith("audio_model.audio_encoder.") for name in tensors):
        tensors = _from_transformers(tensors)
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(_NOT_WEIGHTS)}


def load_text_encoder(folder: Path) -> Tensors:
    """The tensors of a generator's `text_encoder` folder, named as laion's CLAP."""
    tensors = {_laion_text_name(name): tensor for name, tensor in load_tensors(part_weights(folder)).items()}
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(_NOT_WEIGHTS)}


def _from_transformers(tensors: Tensors) -> Tensors:
    """Names of transformers' `ClapModel` -> laion's: query, key and value are one tensor there."""
    import torch

    named: Tensors = {}
    for name, tensor in tensors.items():
        if name.startswith("audio_model.audio_encoder."):
            name = "audio_branch." + name.removeprefix("audio_model.audio_encoder.")
            for theirs, laions in _HTSAT_NAMES:
                name = name.replace(theirs, laions)
        elif name.startswith("audio_projection."):
            name = _laion_projection(name)
        else:
            name = _laion_text_name(name)
        named[name] = tensor
    for name in [name for name in named if ".attn.query." in name]:
        parts = [named.pop(name.replace(".query.", f".{part}.")) for part in ("query", "key", "value")]
        named[name.replace(".query.", ".qkv.")] = torch.cat(parts)
    return named


def _laion_text_name(name: str) -> str:
    return _laion_projection(re.sub(r"^text_model\.", "text_branch.", name))


def _laion_projection(name: str) -> str:
    return name.replace("_projection.linear1.", "_projection.0.").replace("_projection.linear2.", "_projection.2.")
