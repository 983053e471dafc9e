"""BLIP's image encoder, through transformers: the paper's other vision model.

Shapes: N frames, H and W pixels, C colours, D numbers of an embedding.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from v2a_core.config import setting
from v2a_core.encoders.images import ImageEncoder
from v2a_core.models.errors import ModelError
from v2a_core.models.kinds import VISION_ENCODERS
from v2a_core.models.parts import Found, Part, VisionSettings, VisionTraits

if TYPE_CHECKING:
    import torch

BLIP_CONFIG = "config.json"
# What transformers takes when config.json does not say (BlipConfig, BlipVisionConfig).
_DIM, _IMAGE_SIZE = 256, 384
_PARTS = ("vision_model.", "vision_proj.")


class BlipSettings(VisionSettings):
    """What a bundle says about a BLIP in transformers' layout."""

    encoder: Literal["blip"] = setting("blip", "BLIP of transformers")
    model: str = setting(..., "any name: it becomes a part of the embedding space's")

    def traits(self, found: Found) -> VisionTraits:
        """What `config.json` says."""
        config = self.architecture(found)
        return VisionTraits(
            self.model, int(config["image_text_hidden_size"]), config["vision_config"].get("image_size", _IMAGE_SIZE)
        )

    def architecture(self, found: Found) -> dict[str, Any]:
        """The `config.json` of BLIP in transformers' layout: vision_config, image_text_hidden_size, ...

        Raises:
            ModelError: When there is none, or it is of another model.
        """
        if BLIP_CONFIG not in found.files:
            raise ModelError(f"there is no {BLIP_CONFIG} beside {found.path}: BLIP needs its own")
        config = {"image_text_hidden_size": _DIM, **found.json(BLIP_CONFIG)}
        if not isinstance(config.get("vision_config"), dict):
            raise ModelError(f"{found.files[BLIP_CONFIG]} does not describe BLIP: it has no vision_config")
        return config

    def check(self, found: Found) -> None:
        """See `PartSettings.check`."""
        from v2a_core.compute.torchvision_import import prepare_torchvision
        from v2a_core.models.checkpoints import check_fit

        prepare_torchvision()
        config = self.architecture(found)
        tower = _tower(config["vision_config"], int(config["image_text_hidden_size"]))
        check_fit(tower, _visual(found.path), found.path)


class BlipEncoder(ImageEncoder[BlipSettings]):
    """Frames to embeddings in the space that BLIP shares between images and texts, 256 numbers as published.

    That is the [CLS] token behind the image tower, projected as for BLIP's image-text contrast (Li et al. 2022,
    arXiv:2201.12086): the weights are those of `BlipForImageTextRetrieval`. Frames come as for CLIP, shortest side
    resized and centre-cropped; BLIP's own processor squeezes the whole picture into a square instead.
    """

    def load(self, part: Part[BlipSettings]) -> torch.nn.ModuleDict:
        """The image side of `BlipForImageTextRetrieval`, under its names. The text side is never built."""
        from v2a_core.models.checkpoints import load_exactly

        tower = _tower(part.settings.architecture(part.found)["vision_config"], self.dim)
        load_exactly(tower, _visual(part.path), part.path)
        return tower

    def embed(self, pixels_NCHW: torch.Tensor) -> torch.Tensor:
        """See `ImageEncoder.embed`."""
        seen_NLW = self.tower.get_submodule("vision_model")(pixel_values=pixels_NCHW).last_hidden_state
        embedding_ND: torch.Tensor = self.tower.get_submodule("vision_proj")(seen_NLW[:, 0])
        return embedding_ND


def _visual(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of the image side, under their own names."""
    from v2a_core.models.checkpoints import load_tensors

    visual = {name: tensor for name, tensor in load_tensors(path).items() if name.startswith(_PARTS)}
    if not any(name.startswith("vision_proj.") for name in visual):
        raise ModelError(
            f"{path} holds no projection of BLIP's image tower (vision_proj): choose a checkpoint for image-text "
            "retrieval, such as blip-itm-base-coco"
        )
    return visual


def _tower(config: dict[str, Any], dim: int) -> torch.nn.ModuleDict:
    import torch
    from transformers import BlipVisionConfig
    from transformers.models.blip.modeling_blip import BlipVisionModel

    from v2a_core.models.unset import UnsetWeights

    vision = BlipVisionConfig(**config)
    with UnsetWeights():
        return torch.nn.ModuleDict(
            {"vision_model": BlipVisionModel(vision), "vision_proj": torch.nn.Linear(vision.hidden_size, dim)}
        )


VISION_ENCODERS.add("blip", BlipEncoder, BlipSettings)
