"""What all encoders of pictures do alike: frames as the decoder makes them -> embeddings.

Shapes: N frames, H and W pixels, C colours, D numbers of an embedding. Torch is imported inside the functions: an
encoder's module is imported by whoever reads a bundle.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from v2a_core.encoders.config import EncoderSettings
from v2a_core.models.parts import Part, VisionSettings
from v2a_core.protocols import Floats

if TYPE_CHECKING:
    import torch

# open_clip/constants.py
OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)

VisionT = TypeVar("VisionT", bound=VisionSettings)


class ImageEncoder(abc.ABC, Generic[VisionT]):
    """Frames to embeddings, by an image tower: subclasses load theirs, and say how it is asked.

    Args:
        part: The bundle's `vision`: what it says, and the files.
        settings: How to run.
        device: Where: `cpu`, `cuda`, `cuda:1`, ...

    Attributes:
        space: Name of the embedding space.
        dim: D.
        image_size: H and W of the frames it takes, pixels.
        dtype: Number format of the network.
        tower: The network.
    """

    def __init__(self, part: Part[VisionT], settings: EncoderSettings, device: str = "cpu") -> None:
        import torch

        from v2a_core.compute.cpu.packed import pack
        from v2a_core.compute.micro_batches import MicroBatches
        from v2a_core.compute.precision import choose_dtype

        traits = part.settings.traits(part.found)
        self.space, self.dim, self.image_size = part.space, traits.dim, traits.image_size
        self.dtype = choose_dtype(settings.precision, device)
        self._device = device
        self.tower = self.load(part).to(device=device, dtype=self.dtype).eval()
        pack(self.tower, self.dtype, device)
        mean, std = self.normalisation(part)
        # Applied to 0..255 in one step: (x / 255 - mean) / std.
        self._mean_C11 = 255 * torch.tensor(mean, device=device).view(3, 1, 1)
        self._std_C11 = 255 * torch.tensor(std, device=device).view(3, 1, 1)
        self._batches = MicroBatches(settings.micro_batch, self.dim, device)

    @abc.abstractmethod
    def load(self, part: Part[VisionT]) -> torch.nn.Module:
        """The network with its weights, float32, on the CPU.

        Raises:
            ModelError: When the checkpoint holds no such network.
        """

    def embed(self, pixels_NCHW: torch.Tensor) -> torch.Tensor:
        """Ask the network: normalised pixels (N, C, H, W) in `dtype` to (N, D), not normalised."""
        embedding_ND: torch.Tensor = self.tower(pixels_NCHW)
        return embedding_ND

    def normalisation(self, part: Part[VisionT]) -> tuple[Sequence[float], Sequence[float]]:
        """Mean and standard deviation of the colours, 0..1, RGB; OpenAI's for CLIP, which many others took over."""
        return OPENAI_MEAN, OPENAI_STD

    def encode(self, frames_NHWC: npt.NDArray[np.uint8]) -> Floats:
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
        import torch

        # Bytes travel to the device, not floats, and are brought into the network's order while they are bytes.
        # `torch.tensor` copies: arrays from Arrow are read-only.
        pixels_NCHW = torch.tensor(frames_NHWC).to(self._device).permute(0, 3, 1, 2).contiguous().float()
        normal_NCHW = pixels_NCHW.sub_(self._mean_C11).div_(self._std_C11)
        return self.embed(normal_NCHW.to(self.dtype))
