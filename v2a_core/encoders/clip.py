"""CLIP's image tower, through open_clip."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

import torch

from v2a_core.compute.cpu.class_token import keep_class_token
from v2a_core.compute.torchvision_import import prepare_torchvision
from v2a_core.encoders.images import ImageEncoder
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
    open_clip = _import_open_clip(dict(config["vision_cfg"]))
    no_text = {"context_length": 8, "vocab_size": 8, "width": 64, "heads": 1, "layers": 1}
    with UnsetWeights():
        model = open_clip.CLIP(
            embed_dim=config["embed_dim"],
            vision_cfg=dict(config["vision_cfg"]),
            text_cfg=no_text,
            quick_gelu=bool(config.get("quick_gelu", False)),
        )
    tower: torch.nn.Module = model.visual
    return tower


def _import_open_clip(vision: Mapping[str, Any]) -> Any:
    """open_clip, without the packages that it loads for other models: two of the five seconds that it takes."""
    prepare_torchvision()
    needed = {"timm"} if "timm_model_name" in vision else set()
    left_out = [name for name in ("timm", "transformers") if name not in sys.modules and name not in needed]
    # None: an import of it fails, as it does where it is not installed.
    sys.modules.update(dict.fromkeys(left_out))  # type: ignore[arg-type] # typeshed knows modules only
    try:
        import open_clip
    finally:
        for name in left_out:
            sys.modules.pop(name, None)
    if needed and open_clip.timm_model.timm is None:  # another model of this process had left it out
        importlib.reload(open_clip.timm_model)
    return open_clip
