"""BLIP's captions, through transformers.

Shapes: N frames, H and W pixels, C colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from v2a_core.captioners.config import CaptionerSettings
from v2a_core.compute.torchvision_import import prepare_torchvision
from v2a_core.models import ModelError
from v2a_core.models.digests import fingerprint, tree
from v2a_core.models.sources import locate

_READ = (".json", ".txt", ".safetensors")


class BlipCaptioner:
    """Frames to captions.

    Args:
        settings: Which weights, how long, how searched.
        device: `cpu`, `cuda`, ...

    Raises:
        ModelError: When the folder is no BLIP captioner with safetensors.
    """

    def __init__(self, settings: CaptionerSettings, device: str = "cpu") -> None:
        prepare_torchvision()
        from transformers import BertTokenizer, BlipForConditionalGeneration, BlipImageProcessor, BlipProcessor

        folder = captioner_folder(settings)
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

    @torch.inference_mode()
    def caption(self, frames_NHWC: Sequence[npt.NDArray[np.uint8]]) -> list[str]:
        """A caption for each frame, uint8 RGB (H, W, C); the same frame always gets the same."""
        captions: list[str] = []
        for start in range(0, len(frames_NHWC), self._settings.micro_batch):
            frames = [frame.copy() for frame in frames_NHWC[start : start + self._settings.micro_batch]]
            pixels_NCHW = self._processor.image_processor(frames, return_tensors="pt")["pixel_values"]
            tokens = self._model.generate(
                pixel_values=pixels_NCHW.to(self._device),
                max_new_tokens=self._settings.max_tokens,
                num_beams=self._settings.beams,
                do_sample=False,
            )
            captions += [text.strip() for text in self._processor.batch_decode(tokens, skip_special_tokens=True)]
        return captions


def captioner_folder(settings: CaptionerSettings) -> Path:
    """The local folder of the weights; fetched where they are remote.

    Raises:
        ModelError: When they cannot be had.
    """
    folder = locate(settings.weights, ".", component="captioner", checksums={})
    if not folder.is_dir():
        raise ModelError(f"captioner.weights = {settings.weights!r} must be a folder with BLIP in transformers' layout")
    return folder


def captioner_fingerprint(settings: CaptionerSettings) -> str:
    """sha256 of the files that decide a caption."""
    files = tree(captioner_folder(settings))
    return fingerprint({name: path for name, path in files.items() if path.suffix in _READ})
