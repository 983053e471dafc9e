"""The miniature's CLAP: laion_clap's HTSAT at tiny size and a text tower, as a checkpoint of laion's form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch

from v2a_core.encoders.clap import CLAP_CONFIG
from v2a_core.encoders.clap_config import load_clap_config
from v2a_core.encoders.clap_tower import ClapAudioTower
from v2a_core.miniature.seeded import seeded
from v2a_core.protocols import JSON
from v2a_core.tables.schema import EMBEDDING_DIM

if TYPE_CHECKING:
    from transformers import ClapTextModelWithProjection

CHECKPOINT = "clap_miniature.pt"

# HTSAT takes spec_size x (spec_size / mel_bins) spectra, 256 here: ten seconds fit with a hop of 40 ms. The generator
# makes nothing above 8 kHz, so nothing above is heard either.
MLP_ACT: Final = "relu"
AUDIO_CONFIG: dict[str, str | int] = {
    "model_type": "HTSAT",
    "model_name": "miniature",
    "sample_rate": 16_000,
    "clip_samples": 160_000,
    "window_size": 1024,
    "hop_size": 640,
    "mel_bins": 64,
    "fmin": 50,
    "fmax": 8000,
    "class_num": 8,
}
HTSAT_CONFIG: dict[str, int | list[int]] = {
    "spec_size": 128,
    "patch_size": 4,
    "embed_dim": 32,
    "depths": [1, 1, 2, 1],
    "num_heads": [2, 4, 8, 16],
    "window_size": 8,
}
MODEL_CONFIG: dict[str, JSON] = {
    "embed_dim": 256,
    "joint_embed_shape": EMBEDDING_DIM,
    "mlp_act": MLP_ACT,
    "audio_cfg": AUDIO_CONFIG,
    "htsat": HTSAT_CONFIG,
}
# Level and spread of log-mels of everyday sound, dB: what a trained batch norm would have measured.
LOG_MEL_MEAN, LOG_MEL_STD = -25.0, 20.0


def save_clap(folder: Path, seed: int, text_encoder: ClapTextModelWithProjection) -> None:
    """Write `clap_config.json` and a checkpoint `{"state_dict": {"module.audio_branch...": ...}}`.

    Args:
        folder: Where; made if missing.
        seed: Seed of the audio tower's weights; the global random state is left as it was.
        text_encoder: Text tower of the bundle; its tensors go into the checkpoint as they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config_file = folder / CLAP_CONFIG
    config_file.write_text(json.dumps(MODEL_CONFIG, indent=2) + "\n", encoding="utf-8")
    config = load_clap_config(config_file)
    with seeded(seed):
        tower = ClapAudioTower(config).eval()
        _spread(tower)
        _centre(tower, config.front_end.clip_samples)
    tensors = {**tower.state_dict(), **laion_text(text_encoder.state_dict())}
    torch.save({"epoch": 0, "name": "miniature", "state_dict": with_module(tensors)}, folder / CHECKPOINT)


def laion_text(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors of any shape, by their names in transformers' text tower -> by their names in laion's checkpoints."""
    names = {
        "text_model.": "text_branch.",
        "_projection.linear1.": "_projection.0.",
        "_projection.linear2.": "_projection.2.",
    }
    named: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        for theirs, laions in names.items():
            name = name.replace(theirs, laions)
        named[name] = tensor
    return named


def with_module(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copies of tensors of any shape, by the names of a model trained with DistributedDataParallel, as laion's was."""
    return {f"module.{name}": tensor.clone() for name, tensor in tensors.items()}


@torch.no_grad()
def _spread(tower: ClapAudioTower) -> None:
    """Larger weights than HTSAT's 0.02, with which an untrained tower hears hardly a difference between sounds."""
    for name, module in tower.named_modules():
        if isinstance(module, torch.nn.Linear) and not name.endswith("head"):
            torch.nn.init.normal_(module.weight, std=1.5 * module.in_features**-0.5)
    tower.audio_branch.bn0.running_mean.fill_(LOG_MEL_MEAN)
    tower.audio_branch.bn0.running_var.fill_(LOG_MEL_STD**2)


@torch.no_grad()
def _centre(tower: ClapAudioTower, samples: int) -> None:
    """Take what all sounds have in common out of the last bias, so that embeddings point in different directions."""
    time = torch.linspace(0, 1, samples)
    cycles = torch.logspace(3, 4.7, 12)  # 100 Hz to 5 kHz in ten seconds
    tones = torch.sin(2 * torch.pi * cycles[:, None] * time)
    noises = torch.randn(12, samples) * (0.5 + 0.5 * torch.sin(2 * torch.pi * torch.logspace(0, 2, 12)[:, None] * time))
    levels = torch.logspace(-2, -0.3, 24)[:, None]
    tower.get_parameter("audio_projection.2.bias").sub_(tower(torch.cat([tones, noises]) * levels).mean(dim=0))
