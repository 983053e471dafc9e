"""The miniature's CLIP: open_clip's classes at tiny size, in the layout of an open_clip hub repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from v2a_core.compute.torchvision_import import prepare_torchvision
from v2a_core.encoders.clip import OPEN_CLIP_CONFIG
from v2a_core.miniature.seeded import seeded
from v2a_core.protocols import JSON
from v2a_core.tables.schema import EMBEDDING_DIM

if TYPE_CHECKING:
    from open_clip.transformer import VisionTransformer

IMAGE_SIZE = 96  # pixels
TEXT_CONFIG: dict[str, JSON] = {"context_length": 32, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2}
MODEL_CONFIG: dict[str, JSON] = {
    "embed_dim": EMBEDDING_DIM,
    "quick_gelu": True,
    "vision_cfg": {"image_size": IMAGE_SIZE, "layers": 5, "width": 128, "head_width": 32, "patch_size": 12},
    "text_cfg": TEXT_CONFIG,
}
PIXEL_MEAN, PIXEL_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]  # of 0..1
PREPROCESS_CONFIG: dict[str, JSON] = {
    "mean": PIXEL_MEAN,
    "std": PIXEL_STD,
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


def save_clip(folder: Path, seed: int) -> None:
    """Write `open_clip_config.json` and `open_clip_model.safetensors` (float16) of an untrained CLIP.

    Args:
        folder: Where; made if missing.
        seed: Seed of the weights; the global random state is left as it was.
    """
    prepare_torchvision()
    import open_clip
    from safetensors.torch import save_file

    with seeded(seed):
        model = open_clip.CLIP(**MODEL_CONFIG).eval()
        _spread(model.visual)
        _centre(model.visual)
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": MODEL_CONFIG, "preprocess_cfg": PREPROCESS_CONFIG}
    (folder / OPEN_CLIP_CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    save_file(
        {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )


def _spread(tower: torch.nn.Module) -> None:
    """Larger weights than open_clip's, with which an untrained tower sees hardly a difference between images."""
    for name, weight in tower.named_parameters():
        if weight.ndim == 2 and ("in_proj" in name or "mlp" in name or "out_proj" in name):
            torch.nn.init.normal_(weight, std=1.5 * weight.shape[1] ** -0.5)


@torch.no_grad()
def _centre(tower: VisionTransformer) -> None:
    """Take what all images have in common out of the last bias, so that embeddings point in different directions."""
    features: list[torch.Tensor] = []
    hook = tower.ln_post.register_forward_hook(lambda module, inputs, output: features.append(output))
    # Noise at several scales: from flat colours to single pixels.
    images = [
        torch.nn.functional.interpolate(torch.randn(16, 3, side, side), (IMAGE_SIZE, IMAGE_SIZE), mode="bicubic")
        for side in (1, 3, 12, IMAGE_SIZE)
    ]
    tower(torch.cat(images))
    hook.remove()
    pooled = features[0] if features[0].ndim == 2 else features[0][:, 0]
    tower.ln_post.bias.sub_(pooled.mean(dim=0))
