"""CLIP's image tower, through open_clip.

Shapes: N frames, H and W pixels, C colours, D numbers of an embedding.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIX = "visual."


class ClipEncoder:
    """Frames to embeddings.

    Args:
        bundle: The models; architecture and weights are its `clip`.
        settings: How to run.
        device: Where: `cpu`, `cuda`, `cuda:1`, ...

    Attributes:
        space: Name of the embedding space.
        dim: D, 512 for ViT-B/32.
        image_size: H and W of the frames it takes, pixels.
        dtype: Number format of the network.
    """

    def __init__(self, bundle: LocalBundle, settings: EncoderSettings, device: str = "cpu") -> None:
        self.space, self.dim = bundle.vision_space, bundle.vision_dim
        self.image_size = bundle.media_spec().image_size
        self.dtype = choose_dtype(settings.precision, device)
        config = bundle.clip_architecture()
        tensors = load_tensors(bundle.clip_path)
        visual = {name.removeprefix(_PREFIX): value for name, value in tensors.items() if name.startswith(_PREFIX)}
        if not visual:
            raise ModelError(f"{bundle.clip_path} holds no CLIP image tower: no key begins with {_PREFIX!r}")
        self._tower = _image_tower(config)
        load_exactly(self._tower, visual, bundle.clip_path)
        self._tower.to(device=device, dtype=self.dtype).eval()
        self._pixels = Pixels(self.image_size, bundle.clip_normalisation(), device)
        self._batches = MicroBatches(settings.micro_batch, self.dim)

    def encode(self, frames_NHWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Embed frames.

        Args:
            frames_NHWC: uint8, RGB, `image_size` square, as the decoder makes them: shortest side resized (bicubic),
                centre-cropped.

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


def _image_tower(config: Mapping[str, Any]) -> torch.nn.Module:
    """open_clip's image tower without weights. The text tower, half of CLIP, is never built at its real size."""
    open_clip = _import_open_clip(dict(config["vision_cfg"]))
    no_text = {"context_length": 8, "vocab_size": 8, "width": 64, "heads": 1, "layers": 1}
    with torch.device("meta"):
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
