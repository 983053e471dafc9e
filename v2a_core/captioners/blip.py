"""BLIP's captions, through transformers.

Shapes: N frames, H and W pixels, C colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from v2a_core.captioners import CAPTIONERS
from v2a_core.captioners.config import CaptionerSettings
from v2a_core.config import setting
from v2a_core.models.errors import ModelError


class BlipCaptionerSettings(CaptionerSettings):
    """BLIP as a captioner."""

    kind: Literal["blip"] = setting("blip", "BLIP of transformers")
    weights: str = setting(
        "Salesforce/blip-image-captioning-base",
        "folder with BLIP in transformers' layout: path, fsspec URI or hub name",
    )
    max_tokens: int = setting(30, "longest caption", unit="tokens", ge=1, le=200)
    beams: int = setting(3, "beams of the search, which is without chance", ge=1, le=16)


class BlipCaptioner:
    """Frames to captions.

    Args:
        settings: Which weights, how long, how searched.
        device: `cpu`, `cuda`, ...

    Raises:
        ModelError: When the folder is no BLIP captioner with safetensors.
    """

    def __init__(self, settings: BlipCaptionerSettings, device: str = "cpu") -> None:
        import torch

        from v2a_core.compute.torchvision_import import prepare_torchvision

        prepare_torchvision()
        from transformers import BertTokenizer, BlipForConditionalGeneration, BlipImageProcessor, BlipProcessor

        folder = settings.folder()
        self._settings, self._device = settings, device
        try:
            # Without `from_pretrained` of the processor: it would ask the hub for parts that the folder lacks.
            processor: Any = BlipProcessor
            self._processor = processor(
                BlipImageProcessor.from_pretrained(folder, local_files_only=True),
                BertTokenizer.from_pretrained(folder, local_files_only=True),
            )
            model: Any = BlipForConditionalGeneration.from_pretrained(
                folder, use_safetensors=True, local_files_only=True, dtype=torch.float32
            )
        except (OSError, ValueError) as error:
            raise ModelError(f"captioner.weights = {settings.weights!r} cannot be read as BLIP: {error}") from None
        self._model = model.to(device).eval().requires_grad_(False)

    def caption(self, frames_NHWC: Sequence[npt.NDArray[np.uint8]]) -> list[str]:
        """A caption for each frame, uint8 RGB (H, W, C); the same frame always gets the same."""
        import torch

        captions: list[str] = []
        for start in range(0, len(frames_NHWC), self._settings.micro_batch):
            frames = [frame.copy() for frame in frames_NHWC[start : start + self._settings.micro_batch]]
            pixels_NCHW = self._processor.image_processor(frames, return_tensors="pt")["pixel_values"]
            with torch.inference_mode():
                tokens = self._model.generate(
                    pixel_values=pixels_NCHW.to(self._device),
                    max_new_tokens=self._settings.max_tokens,
                    num_beams=self._settings.beams,
                    do_sample=False,
                )
            captions += [text.strip() for text in self._processor.batch_decode(tokens, skip_special_tokens=True)]
        return captions


CAPTIONERS.add("blip", BlipCaptioner, BlipCaptionerSettings)
