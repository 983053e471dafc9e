"""Sizes of the published audioldm-s-full-v2, and checkpoints to test with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from v2a_core.compute.torchvision_import import prepare_torchvision

prepare_torchvision()

AUDIOLDM_S_UNET: dict[str, Any] = {
    "sample_size": 128,
    "in_channels": 8,
    "out_channels": 8,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "block_out_channels": [128, 256, 384, 640],
    "cross_attention_dim": [128, 256, 384, 640],
    "layers_per_block": 2,
    "attention_head_dim": 8,
    "class_embed_type": "simple_projection",
    "projection_class_embeddings_input_dim": 512,
    "class_embeddings_concat": True,
}
AUDIOLDM_VAE: dict[str, Any] = {
    "in_channels": 1,
    "out_channels": 1,
    "down_block_types": ["DownEncoderBlock2D"] * 3,
    "up_block_types": ["UpDecoderBlock2D"] * 3,
    "block_out_channels": [128, 256, 512],
    "layers_per_block": 2,
    "latent_channels": 8,
    "sample_size": 512,
    "scaling_factor": 0.9227914214134216,
}
AUDIOLDM_VOCODER: dict[str, Any] = {
    "model_in_dim": 64,
    "sampling_rate": 16000,
    "upsample_initial_channel": 1024,
    "upsample_rates": [5, 4, 2, 2, 2],
    "upsample_kernel_sizes": [16, 16, 8, 4, 4],
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
    "normalize_before": False,
}


def save_miniature(folder: Path) -> Path:
    """An untrained miniature AudioLDM."""
    from v2a_core.miniature.audioldm import save_audioldm
    from v2a_core.miniature.text import build_text_encoder

    save_audioldm(folder, 0, *build_text_encoder(0))
    return folder


def edit_json(file: Path, **values: Any) -> None:
    """Overwrite values of a configuration file."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))
