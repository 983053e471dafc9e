"""BLIP's captions, through transformers.

Shapes: N frames, H and W pixels, C colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from v2a_core.captioners import CAPTIONERS
from v2a_core.captioners.config import CaptionerSettings
from v2a_core.config import setting
from v2a_core.models.errors import ModelError
from v2a_core.models.parts import read_json

if TYPE_CHECKING:
    import torch


class BlipCaptionerSettings(CaptionerSettings):
    """BLIP as a captioner."""

    kind: Literal["blip"] = setting("blip", "BLIP of transformers")
    weights: str = setting(
        "Salesforce/blip-image-captioning-base",
        "folder with BLIP in transformers' layout: path, fsspec URI or hub name",
    )
    max_tokens: int = setting(30, "longest caption", unit="tokens", ge=1, le=200)
    beams: int = setting(3, "beams of the search, which is without chance", ge=1, le=16)

    def check(self) -> None:
        """Names and shapes of the weights must be BLIP's; see `CaptionerSettings.check`."""
        from v2a_core.models.checkpoints import check_fit

        folder = self.folder()
        model, path, tensors = _unset(folder)
        check_fit(model, tensors, path, may_lack=_tied(model))


class BlipCaptioner:
    """Frames to captions.

    Args:
        settings: Which weights, how long, how searched.
        device: `cpu`, `cuda`, ...

    Raises:
        ModelError: When the folder is no BLIP captioner.
    """

    def __init__(self, settings: BlipCaptionerSettings, device: str = "cpu") -> None:
        from v2a_core.compute.torchvision_import import prepare_torchvision

        prepare_torchvision()
        from transformers import BertTokenizer, BlipImageProcessor, BlipProcessor

        folder = settings.folder()
        self._settings, self._device = settings, device
        try:
            # Without `from_pretrained` of the processor: it would ask the hub for parts that the folder lacks.
            processor: Any = BlipProcessor
            self._processor = processor(
                BlipImageProcessor.from_pretrained(folder, local_files_only=True),
                BertTokenizer.from_pretrained(folder, local_files_only=True),
            )
        except (OSError, ValueError) as error:
            raise ModelError(f"captioner.weights = {settings.weights!r} cannot be read as BLIP: {error}") from None
        self._model = _load(folder).to(device).eval()

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


def _load(folder: Path) -> Any:
    """BlipForConditionalGeneration of a folder, float32."""
    from v2a_core.models.checkpoints import load_exactly

    model, path, tensors = _unset(folder)
    load_exactly(model, tensors, path, may_lack=_tied(model))
    model.tie_weights()
    return model


def _unset(folder: Path) -> tuple[Any, Path, dict[str, torch.Tensor]]:
    """The model of a folder without its weights, the file of these, and them."""
    from v2a_core.compute.torchvision_import import prepare_torchvision

    prepare_torchvision()
    from transformers import BlipConfig, BlipForConditionalGeneration

    from v2a_core.models.checkpoints import load_tensors, part_weights
    from v2a_core.models.unset import UnsetWeights

    path = part_weights(folder)
    # Counters of positions are no weights; some files hold them.
    tensors = {name: value for name, value in load_tensors(path).items() if not name.endswith(".position_ids")}
    config = read_json(folder / "config.json")
    try:
        with UnsetWeights():
            return BlipForConditionalGeneration(BlipConfig.from_dict(config)), path, tensors
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{folder}: its config.json does not describe BLIP: {error}") from None


def _tied(model: Any) -> tuple[str, ...]:
    """Names of tensors that are others' and that a file need not hold again."""
    return tuple(model.all_tied_weights_keys)


CAPTIONERS.add("blip", BlipCaptioner, BlipCaptionerSettings)
