"""Stage `clip`: image and text towers, on pictures of the world in both drawing styles.

Shapes: N images, H and W pixels, C colours, D numbers of an embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from v2a_core.compute.torchvision_import import prepare_torchvision
from v2a_core.miniature.clip import IMAGE_SIZE, MODEL_CONFIG, PIXEL_MEAN, PIXEL_STD, TEXT_CONFIG
from v2a_core.miniature.text import build_tokenizer
from v2a_core.miniature.training.contrast import (
    Contrast,
    average_prompts,
    choose_rows,
    describe,
    linear_fit,
    prompts,
    zero_shot,
)
from v2a_core.miniature.training.data import attributes, world
from v2a_core.miniature.training.loop import Plan, autocast, load_weights
from v2a_core.miniature.world import KINDS, Happening, render_frames, render_still, sample
from v2a_core.protocols import JSON

# CLIP's own vocabulary of 49,408 would be most of the miniature: the text tower reads CLAP's tokens, whose </s> is 2.
CONTEXT_LENGTH = 48
CLIP_CONFIG: dict[str, JSON] = {
    **MODEL_CONFIG,
    "text_cfg": {
        **TEXT_CONFIG,
        "context_length": CONTEXT_LENGTH,
        "vocab_size": 517,
        "hf_tokenizer_name": "miniature",
        "pool_type": "eos",
        "eos_id": 2,
        "pad_id": 1,
    },
}
PLAN = Plan(steps=2500, batch=64, learning_rate=1e-3, weight_decay=0.05)
SCENES = 20_000  # drawn anew at every step: pictures cost less than reading them from a file
HELD_OUT = 360
INK_SHARE = 0.3
_KINDS_N = np.arange(SCENES) % len(KINDS)  # they take turns
SIZES = (96, 128, 160)  # of the drawing, before it is resized as a decoder does


class ClipStage:
    """See `Stage`."""

    def __init__(self, seed: int, plan: Plan = PLAN) -> None:
        prepare_torchvision()
        import open_clip

        self.plan, self._world = plan, world(seed)
        torch.manual_seed(seed)
        self.clip = open_clip.CLIP(**CLIP_CONFIG)
        self.tokenizer = build_tokenizer()
        self.modules = nn.ModuleDict({"clip": self.clip, "contrast": Contrast()})
        self._held_out: dict[str, tuple[list[Happening], npt.NDArray[np.uint8]]] = {}

    def losses(self, step: int, rng: np.random.Generator) -> Mapping[str, torch.Tensor]:
        """Contrastive, on what is seen."""
        rows = choose_rows(_KINDS_N, self.plan.batch, rng)
        happenings = [sample(self._world, "train", int(row)).seen for row in rows]
        described = describe(happenings, rng)
        pictures_NHWC = np.stack([_draw(happening, rng) for happening in happenings])
        with autocast():
            image_ND = self.embed_images(_disturb(pictures_NHWC, rng))
            text_ND = self.embed_text(described.texts)
        losses: dict[str, torch.Tensor] = self.modules["contrast"](image_ND, text_ND, described)
        return losses

    def validate(self) -> Mapping[str, float]:
        """Zero-shot accuracy and legibility of the attributes, in each style."""
        prompts_KD = average_prompts(self.embed_text(prompts()))
        numbers: dict[str, float] = {}
        for style in ("paint", "ink"):
            happenings, pictures_NHWC = self._pictures(style)
            image_ND = torch.cat(
                [self.embed_images(torch.from_numpy(part)) for part in np.array_split(pictures_NHWC, 8)]
            )
            kinds_N = np.array([KINDS.index(happening.kind) for happening in happenings])
            truth_N3 = np.stack([attributes(happening) for happening in happenings])
            numbers[f"zero_shot_{style}"] = zero_shot(image_ND, prompts_KD, kinds_N)
            numbers[f"attributes_{style}"] = linear_fit(image_ND, truth_N3, kinds_N)
        return numbers

    def embed_images(self, pictures_NHWC: torch.Tensor) -> torch.Tensor:
        """L2-normalised float32 (N, D) of pictures in 0..255, uint8 or float32."""
        mean, std = (255 * torch.tensor(values) for values in (PIXEL_MEAN, PIXEL_STD))
        normal_NCHW = ((pictures_NHWC - mean) / std).permute(0, 3, 1, 2).contiguous()
        return functional.normalize(self.clip.encode_image(normal_NCHW).float(), dim=-1)

    def embed_text(self, texts: Sequence[str]) -> torch.Tensor:
        """L2-normalised float32 (N, D)."""
        tokens = self.tokenizer(
            list(texts), max_length=CONTEXT_LENGTH, padding="max_length", truncation=True, return_tensors="pt"
        )
        return functional.normalize(self.clip.encode_text(tokens.input_ids).float(), dim=-1)

    def _pictures(self, style: str) -> tuple[list[Happening], npt.NDArray[np.uint8]]:
        if style not in self._held_out:
            rng = np.random.default_rng(0)
            happenings = [sample(self._world, "validation", row).seen for row in range(HELD_OUT)]
            pictures = [_frame(one, rng) if style == "paint" else render_still(one, size=128) for one in happenings]
            self._held_out[style] = (happenings, np.stack([_resize(picture) for picture in pictures]))
        return self._held_out[style]


def _draw(happening: Happening, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    if rng.random() < INK_SHARE:
        return _resize(render_still(happening, size=int(rng.choice(SIZES))))
    return _resize(_frame(happening, rng, int(rng.choice(SIZES))))


def _frame(happening: Happening, rng: np.random.Generator, size: int = 128) -> npt.NDArray[np.uint8]:
    """A frame at any time of the first five seconds."""
    length_s = float(rng.uniform(0.5, 5.0))
    # Frame 1 of 1 / length_s frames a second shows the time length_s.
    frames_NHWC = render_frames(happening, length_s=2 * length_s, size=size, frames_per_second=1 / length_s)
    return np.asarray(frames_NHWC[-1])


def _resize(picture_HWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    if picture_HWC.shape[0] == IMAGE_SIZE:
        return picture_HWC
    return np.asarray(Image.fromarray(picture_HWC).resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC))


def _disturb(pictures_NHWC: npt.NDArray[np.uint8], rng: np.random.Generator) -> torch.Tensor:
    """What cameras and codecs do: gain, offset and noise, a little, in 0..255; float32."""
    count = len(pictures_NHWC)
    gain, offset = rng.uniform(0.93, 1.07, (count, 1, 1, 3)), rng.uniform(-5, 5, (count, 1, 1, 1))
    noise = rng.standard_normal(pictures_NHWC.shape, np.float32) * rng.uniform(0, 5, (count, 1, 1, 1))
    return torch.from_numpy(np.clip(pictures_NHWC * gain + offset + noise, 0, 255).astype(np.float32))


def load_clip(work: Path, seed: int) -> ClipStage:
    """The trained towers, in eval mode."""
    stage = ClipStage(seed)
    stage.clip.load_state_dict(load_weights(work / "clip", "clip"))
    stage.clip.eval()
    return stage


def build(work: Path, seed: int, plan: Plan = PLAN) -> ClipStage:
    """The stage, with fresh weights."""
    return ClipStage(seed, plan)
