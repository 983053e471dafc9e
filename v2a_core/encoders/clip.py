"""CLIP's image tower, through open_clip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from v2a_core.compute.cpu.class_token import keep_class_token
from v2a_core.encoders.images import ImageEncoder
from v2a_core.encoders.open_clip_import import open_clip_models
from v2a_core.models import LocalBundle, ModelError
from v2a_core.models.checkpoints import load_exactly, load_tensors
from v2a_core.models.unset import UnsetWeights

if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIX = "visual."


class ClipEncoder(ImageEncoder):
    """Frames to embeddings in CLIP's space, 512 numbers for ViT-B/32."""

    def _load_tower(self, bundle: LocalBundle) -> torch.nn.Module:
        tensors = load_tensors(bundle.clip_path)
        visual = {name.removeprefix(_PREFIX): value for name, value in tensors.items() if name.startswith(_PREFIX)}
        if not visual:
            raise ModelError(f"{bundle.clip_path} holds no CLIP image tower: no key begins with {_PREFIX!r}")
        tower = _image_tower(bundle.clip_architecture())
        load_exactly(tower, visual, bundle.clip_path)
        keep_class_token(tower)
        return tower


def _image_tower(config: Mapping[str, Any]) -> torch.nn.Module:
    """open_clip's image tower without weights. The text tower, half of CLIP, is never built at its real size."""
    models = open_clip_models(config["vision_cfg"])
    no_text = {"context_length": 8, "vocab_size": 8, "width": 64, "heads": 1, "layers": 1}
    with UnsetWeights():
        model = models.CLIP(
            embed_dim=config["embed_dim"],
            vision_cfg=dict(config["vision_cfg"]),
            text_cfg=no_text,
            quick_gelu=bool(config.get("quick_gelu", False)),
        )
    tower: torch.nn.Module = model.visual
    return tower
