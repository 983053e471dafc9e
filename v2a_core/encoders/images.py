"""What all encoders of pictures do alike: frames as the decoder makes them -> embeddings.

Shapes: N frames, H and W pixels, C colours, D numbers of an embedding.
"""

from __future__ import annotations

import abc

import numpy as np
import numpy.typing as npt
import torch

from v2a_core.compute.cpu.packed import pack
from v2a_core.compute.micro_batches import MicroBatches
from v2a_core.compute.precision import choose_dtype
from v2a_core.encoders.config import EncoderSettings
from v2a_core.models import LocalBundle


class ImageEncoder(abc.ABC):
    """Frames to embeddings, by an image tower.

    Args:
        bundle: The models; architecture and weights are its `vision`.
        settings: How to run.
        device: Where: `cpu`, `cuda`, `cuda:1`, ...

    Attributes:
        space: Name of the embedding space.
        dim: D.
        image_size: H and W of the frames it takes, pixels.
        dtype: Number format of the network.
    """

    def __init__(self, bundle: LocalBundle, settings: EncoderSettings, device: str = "cpu") -> None:
        self.space, self.dim = bundle.vision_space, bundle.vision_dim
        self.image_size = bundle.media_spec().image_size
        self.dtype = choose_dtype(settings.precision, device)
        self._device = device
        self._tower = self._load_tower(bundle).to(device=device, dtype=self.dtype).eval()
        pack(self._tower, self.dtype, device)
        mean, std = bundle.clip_normalisation()
        # Applied to 0..255 in one step: (x / 255 - mean) / std.
        self._mean_C11 = 255 * torch.tensor(mean, device=device).view(3, 1, 1)
        self._std_C11 = 255 * torch.tensor(std, device=device).view(3, 1, 1)
        self._batches = MicroBatches(settings.micro_batch, self.dim, device)

    @abc.abstractmethod
    def _load_tower(self, bundle: LocalBundle) -> torch.nn.Module:
        """The network with its weights: normalised pixels (N, C, H, W) to (N, D), not normalised.

        Raises:
            ModelError: When the checkpoint holds no such tower.
        """

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
        size = self.image_size
        if frames_NHWC.dtype != np.uint8 or frames_NHWC.ndim != 4 or frames_NHWC.shape[1:] != (size, size, 3):
            raise ValueError(
                f"frames must be uint8 of shape (N, {size}, {size}, 3), not {frames_NHWC.dtype} of {frames_NHWC.shape}"
            )
        return self._batches.run(lambda items: self._forward(frames_NHWC[items]), len(frames_NHWC))

    def _forward(self, frames_NHWC: npt.NDArray[np.uint8]) -> torch.Tensor:
        # Bytes travel to the device, not floats, and are brought into the network's order while they are bytes.
        # `torch.tensor` copies: arrays from Arrow are read-only.
        pixels_NCHW = torch.tensor(frames_NHWC).to(self._device).permute(0, 3, 1, 2).contiguous().float()
        normal_NCHW = pixels_NCHW.sub_(self._mean_C11).div_(self._std_C11)
        embedding_ND: torch.Tensor = self._tower(normal_NCHW.to(self.dtype))
        return embedding_ND
