"""Frames as the decoder makes them -> what an image tower takes.

Shapes: N frames, H and W pixels, C colours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch


class Pixels:
    """Checks frames and brings their colours to the scale that a tower was trained on.

    Args:
        image_size: H and W, pixels.
        normalisation: Mean and standard deviation of the colours, 0..1, RGB.
        device: Where the tower is.
    """

    def __init__(
        self, image_size: int, normalisation: tuple[Sequence[float], Sequence[float]], device: str = "cpu"
    ) -> None:
        self.image_size, self._device = image_size, device
        mean, std = normalisation
        # Applied to 0..255 in one step: (x / 255 - mean) / std.
        self._mean_C11 = 255 * torch.tensor(mean, device=device).view(3, 1, 1)
        self._std_C11 = 255 * torch.tensor(std, device=device).view(3, 1, 1)

    def check(self, frames_NHWC: npt.NDArray[np.uint8]) -> None:
        """Refuse, with ValueError, another shape or dtype."""
        size = self.image_size
        if frames_NHWC.dtype != np.uint8 or frames_NHWC.ndim != 4 or frames_NHWC.shape[1:] != (size, size, 3):
            raise ValueError(
                f"frames must be uint8 of shape (N, {size}, {size}, 3), not {frames_NHWC.dtype} of {frames_NHWC.shape}"
            )

    def normal(self, frames_NHWC: npt.NDArray[np.uint8]) -> torch.Tensor:
        """Float32 (N, C, H, W), on the device."""
        # Bytes travel to the device, not floats. `torch.tensor` copies: arrays from Arrow are read-only.
        pixels_NCHW = torch.tensor(frames_NHWC).to(self._device).permute(0, 3, 1, 2)
        return (pixels_NCHW - self._mean_C11) / self._std_C11
