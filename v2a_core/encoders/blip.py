"""BLIP's image encoder, through transformers: the paper's other vision model.

Shapes: N frames, H and W pixels, C colours, D numbers of an embedding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from v2a_core.encoders.batching import MicroBatches
from v2a_core.encoders.config import EncoderSettings
from v2a_core.encoders.pixels import Pixels
from v2a_core.models import LocalBundle, ModelError
from v2a_core.models.checkpoints import load_exactly, load_tensors
from v2a_core.precision import choose_dtype
from v2a_core.torchvision_compat import prepare_torchvision

_PARTS = ("vision_model.", "vision_proj.")


class BlipEncoder:
    """Frames to embeddings in the space that BLIP shares between images and texts.

    That is the [CLS] token behind the image tower, projected as for BLIP's image-text contrast (Li et al. 2022,
    arXiv:2201.12086): the weights are those of `BlipForImageTextRetrieval`. Frames come as for CLIP, shortest side
    resized and centre-cropped; BLIP's own processor squeezes the whole picture into a square instead.

    Args:
        bundle: The models; architecture and weights are its `clip`, with `encoder: blip`.
        settings: How to run.
        device: Where: `cpu`, `cuda`, `cuda:1`, ...

    Attributes:
        space: Name of the embedding space.
        dim: D, 256 as published.
        image_size: H and W of the frames it takes, pixels.
        dtype: Number format of the network.
    """

    def __init__(self, bundle: LocalBundle, settings: EncoderSettings, device: str = "cpu") -> None:
        self.space, self.dim = bundle.vision_space, bundle.vision_dim
        self.image_size = bundle.media_spec().image_size
        self.dtype = choose_dtype(settings.precision, device)
        tensors = load_tensors(bundle.clip_path)
        visual = {name: value for name, value in tensors.items() if name.startswith(_PARTS)}
        if not any(name.startswith("vision_proj.") for name in visual):
            raise ModelError(
                f"{bundle.clip_path} holds no projection of BLIP's image tower (vision_proj): choose a checkpoint for "
                "image-text retrieval, such as blip-itm-base-coco"
            )
        self._tower = _Tower(bundle.blip_architecture()["vision_config"], self.dim)
        load_exactly(self._tower, visual, bundle.clip_path)
        self._tower.to(device=device, dtype=self.dtype).eval()
        self._pixels = Pixels(self.image_size, bundle.clip_normalisation(), device)
        self._batches = MicroBatches(settings.micro_batch, self.dim)

    def encode(self, frames_NHWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Embed frames.

        Args:
            frames_NHWC: uint8, RGB, `image_size` square.

        Returns:
            Float32 (N, D), L2-normalised.

        Raises:
            ValueError: For another shape or dtype.
        """
        self._pixels.check(frames_NHWC)
        return self._batches.run(lambda items: self._forward(frames_NHWC[items]), len(frames_NHWC))

    def _forward(self, frames_NHWC: npt.NDArray[np.uint8]) -> torch.Tensor:
        embedding_ND: torch.Tensor = self._tower(self._pixels.normal(frames_NHWC).to(self.dtype))
        return embedding_ND


class _Tower(torch.nn.Module):
    """The image side of `BlipForImageTextRetrieval`, under its names. The text side is never built."""

    def __init__(self, config: dict[str, Any], dim: int) -> None:
        super().__init__()
        prepare_torchvision()
        from transformers import BlipVisionConfig
        from transformers.models.blip.modeling_blip import BlipVisionModel

        vision = BlipVisionConfig(**config)
        with torch.device("meta"):
            self.vision_model = BlipVisionModel(vision)
            self.vision_proj = torch.nn.Linear(vision.hidden_size, dim)

    def forward(self, pixels_NCHW: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, D), not normalised."""
        seen_NLW = self.vision_model(pixel_values=pixels_NCHW).last_hidden_state
        embedding_ND: torch.Tensor = self.vision_proj(seen_NLW[:, 0])
        return embedding_ND
