"""A vision encoder of another package, in one file: a ViT of transformers, as `ViTModel.save_pretrained` writes it.

The package names this module in its entry points

    [v2a.vision_encoders]
    tiny-vit = tiny_vit

and a bundle's file says `vision: {encoder: tiny-vit, weights: FOLDER}`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from v2a_core.config import setting
from v2a_core.encoders import VISION_ENCODERS
from v2a_core.encoders.images import ImageEncoder
from v2a_core.models.parts import Found, Part, VisionSettings, VisionTraits

if TYPE_CHECKING:  # whoever reads a bundle imports this file: torch is loaded inside the functions
    import torch


class TinyVitSettings(VisionSettings):
    """What a bundle says about it: `weights` is there already, a weight file or folder with a `config.json`."""

    encoder: Literal["tiny-vit"] = setting("tiny-vit", "a ViT of transformers")

    def traits(self, found: Found) -> VisionTraits:
        """What its files say: how wide an embedding is, and how large a frame."""
        config = found.json("config.json")
        return VisionTraits(model="tiny-vit", dim=config["hidden_size"], image_size=config["image_size"])


class TinyVitEncoder(ImageEncoder[TinyVitSettings]):
    """Frames to the [CLS] token; batches, number formats, colours and the norm are the base's."""

    def load(self, part: Part[TinyVitSettings]) -> torch.nn.Module:
        """The network with its weights."""
        from transformers import ViTModel

        return ViTModel.from_pretrained(part.path.parent, local_files_only=True, add_pooling_layer=False)

    def embed(self, pixels_NCHW: torch.Tensor) -> torch.Tensor:
        """Normalised pixels (N, C, H, W) to (N, D), not normalised."""
        return self.tower(pixel_values=pixels_NCHW).last_hidden_state[:, 0]


VISION_ENCODERS.add("tiny-vit", TinyVitEncoder, TinyVitSettings)
