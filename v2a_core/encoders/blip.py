"""BLIP's image encoder, through transformers: the paper's other vision model.

Shapes: N frames, H and W pixels, C colours, D numbers of an embedding.
"""

from __future__ import annotations

from typing import Any

import torch

from v2a_core.compute.torchvision_import import prepare_torchvision
from v2a_core.encoders.images import ImageEncoder
from v2a_core.models import LocalBundle, ModelError
from v2a_core.models.checkpoints import load_exactly, load_tensors
from v2a_core.models.unset import UnsetWeights

_PARTS = ("vision_model.", "vision_proj.")


class BlipEncoder(ImageEncoder):
    """Frames to embeddings in the space that BLIP shares between images and texts, 256 numbers as published.

    That is the [CLS] token behind the image tower, projected as for BLIP's image-text contrast (Li et al. 2022,
    arXiv:2201.12086): the weights are those of `BlipForImageTextRetrieval`. Frames come as for CLIP, shortest side
    resized and centre-cropped; BLIP's own processor squeezes the whole picture into a square instead.
    """

    def _load_tower(self, bundle: LocalBundle) -> torch.nn.Module:
        tensors = load_tensors(bundle.clip_path)
        visual = {name: value for name, value in tensors.items() if name.startswith(_PARTS)}
        if not any(name.startswith("vision_proj.") for name in visual):
            raise ModelError(
                f"{bundle.clip_path} holds no projection of BLIP's image tower (vision_proj): choose a checkpoint for "
                "image-text retrieval, such as blip-itm-base-coco"
            )
        tower = _Tower(bundle.blip_architecture()["vision_config"], self.dim)
        load_exactly(tower, visual, bundle.clip_path)
        return tower


class _Tower(torch.nn.Module):
    """The image side of `BlipForImageTextRetrieval`, under its names. The text side is never built."""

    def __init__(self, config: dict[str, Any], dim: int) -> None:
        super().__init__()
        prepare_torchvision()
        from transformers import BlipVisionConfig
        from transformers.models.blip.modeling_blip import BlipVisionModel

        vision = BlipVisionConfig(**config)
        with UnsetWeights():
            self.vision_model = BlipVisionModel(vision)
            self.vision_proj = torch.nn.Linear(vision.hidden_size, dim)

    def forward(self, pixels_NCHW: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, D), not normalised."""
        seen_NLW = self.vision_model(pixel_values=pixels_NCHW).last_hidden_state
        embedding_ND: torch.Tensor = self.vision_proj(seen_NLW[:, 0])
        return embedding_ND
