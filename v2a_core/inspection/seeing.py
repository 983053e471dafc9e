"""CLIP: our way from a picture to an embedding against open_clip's own, and the golden numbers of its publisher.

Shapes: N pictures, K texts, D numbers of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from v2a_core.compute.torchvision_import import prepare_torchvision
from v2a_core.encoders.clip import OPEN_CLIP_CONFIG, ClipSettings
from v2a_core.encoders.images import OPENAI_MEAN, OPENAI_STD
from v2a_core.inspection.opened import Opened
from v2a_core.inspection.rows import Row, judged, unchecked
from v2a_core.media import image as pictures
from v2a_core.miniature.score.zero_shot import clip_tokenizer
from v2a_core.models.checkpoints import load_exactly, load_tensors
from v2a_core.protocols import Floats

_COMPUTED = ("attn_mask", "position_ids")
_SIDE = 448
NEEDED = "--pictures FOLDER with pictures that are named by what is seen"


@dataclass(frozen=True)
class Golden:
    """What a published CLIP says of a published picture."""

    file: str
    texts: tuple[str, ...]
    probabilities: tuple[float, ...] = ()
    logits: tuple[float, ...] = ()


# OpenAI's ViT-B/32: the readme of its repository, and the model card of its copy on the hub.
GOLDEN = (
    Golden("CLIP.png", ("a diagram", "a dog", "a cat"), probabilities=(0.9927937, 0.00421068, 0.00299572)),
    Golden("000000039769", ("a photo of a cat", "a photo of a dog"), logits=(24.5701, 19.3049)),
)


class OpenClip:
    """A bundle's CLIP by open_clip's own code: model, evaluation transform and tokenizer, none of them ours."""

    def __init__(self, opened: Opened, *, quick_gelu: bool | None = None) -> None:
        prepare_torchvision()
        import open_clip

        part = opened.local.vision
        assert isinstance(part.settings, ClipSettings)
        config = part.settings.architecture(part.found)
        known = {key: config[key] for key in ("embed_dim", "vision_cfg", "text_cfg", "quick_gelu") if key in config}
        self.quick_gelu = bool(config.get("quick_gelu", False)) if quick_gelu is None else quick_gelu
        self.model: Any = open_clip.CLIP(**{**known, "quick_gelu": self.quick_gelu}).eval()
        load_exactly(self.model, load_tensors(part.path), part.path, may_lack=_COMPUTED)
        size = int(config["vision_cfg"]["image_size"])
        said = part.found.json(OPEN_CLIP_CONFIG).get("preprocess_cfg", {})
        mean, std = tuple(said.get("mean", OPENAI_MEAN)), tuple(said.get("std", OPENAI_STD))
        self.transform: Any = open_clip.image_transform(size, is_train=False, mean=mean, std=std)
        self._tokenize = clip_tokenizer(part.path.parent, int(config["text_cfg"].get("context_length", 77)))

    @torch.inference_mode()
    def images(self, images: Sequence[Image.Image]) -> Floats:
        """L2-normalised (N, D)."""
        made: torch.Tensor = self.model.encode_image(
            torch.stack([self.transform(item) for item in images]), normalize=True
        )
        return made.numpy()

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> Floats:
        """L2-normalised (K, D)."""
        made: torch.Tensor = self.model.encode_text(self._tokenize(list(texts)), normalize=True)
        return made.numpy()

    @property
    def scale(self) -> float:
        """What cosines are multiplied by to be logits."""
        return float(self.model.logit_scale.exp())


def drawn_picture() -> Image.Image:
    """A picture of fine and coarse detail, larger than any CLIP takes, on which every resizing shows."""
    y, x = np.mgrid[:_SIDE, : _SIDE * 5 // 4] / _SIDE
    rings = np.sin(900 * (np.square(x - 0.6) + np.square(y - 0.4)))
    bars = np.sign(np.sin(400 * x)) * (y > 0.7)
    colours = np.stack([rings, bars + 0.3 * np.sin(9 * y), rings * bars + x - 0.5], axis=-1)
    return Image.fromarray((127.5 + 127 * np.clip(colours, -1, 1)).astype(np.uint8))


def check_pixels(opened: Opened) -> list[Row]:
    """The drawn picture, as our decoder resizes it, against open_clip's bicubic with antialias."""
    size = opened.vision.image_size
    found = pictures.fit(drawn_picture(), size).astype(np.float32)
    expected = _resized(size, antialias=True)
    distance, to_plain = (float(np.abs(found - item).mean()) for item in (expected, _resized(size, antialias=False)))
    cause = "bicubic without antialias" if to_plain < distance else "pictures are resized in another way"
    return [
        judged(
            "a drawn picture, resized",
            "open_clip's pixels (bicubic with antialias), within 0.5 of 255",
            f"{distance:.2f}",
            distance <= 0.5,
            f"{cause}: CLIP sees edges that it was not trained with",
        )
    ]


def check_embedding(opened: Opened) -> list[Row]:
    """The drawn picture's embedding, our way against open_clip's."""
    if not isinstance(opened.local.vision.settings, ClipSettings):
        return [unchecked("a drawn picture, embedded", "open_clip's embedding", "only CLIP is compared")]
    image = drawn_picture()
    ours_D = opened.vision.encode(pictures.fit(image, opened.vision.image_size)[None])[0]
    cosine = float(ours_D @ OpenClip(opened).images([image])[0])
    return [
        judged(
            "a drawn picture, embedded",
            "open_clip's embedding, cosine 0.9999",
            f"{cosine:.6f}",
            cosine >= 0.9999,
            "our image tower or its preprocessing is not open_clip's",
        )
    ]


def check_activation(opened: Opened) -> list[Row]:
    """Which of QuickGELU and GELU the weights were trained with: with it pictures are nearer to their texts."""
    name, expected = "activation of CLIP", "as it runs: pictures are nearest to their texts"
    if not isinstance(opened.local.vision.settings, ClipSettings):
        return [unchecked(name, expected, "only CLIP is compared")]
    if len({item.kind for item in opened.material.pictures}) < 2:
        return [unchecked(name, expected, NEEDED)]
    runs = OpenClip(opened)
    other = OpenClip(opened, quick_gelu=not runs.quick_gelu)
    loss, of_other = (_loss(opened, item) for item in (runs, other))
    names = ("GELU", "QuickGELU")
    return [
        judged(
            name,
            f"loss below {of_other:.3f}, that of {names[other.quick_gelu]}",
            f"{loss:.3f} with {names[runs.quick_gelu]}",
            loss < of_other,
            "QuickGELU is off, and the weights were trained with it: set quick_gelu: true, or name the model "
            "`…-quickgelu`"
            if other.quick_gelu
            else "QuickGELU is on, and the weights were trained without: set quick_gelu: false",
        )
    ]


def check_golden(opened: Opened) -> list[Row]:
    """What OpenAI's ViT-B/32 says of two published pictures."""
    if opened.local.vision_traits.model != "ViT-B-32-quickgelu":
        return []
    by_name = {item.file: item.image for item in opened.material.pictures}
    rows = []
    for golden in GOLDEN:
        values = golden.probabilities or golden.logits
        kind = "probabilities" if golden.probabilities else "logits"
        label, expected = f"CLIP's {kind} of {golden.file}", ", ".join(f"{value:.4f}" for value in values)
        image = next((item for name, item in by_name.items() if name.startswith(golden.file)), None)
        if image is None:
            rows.append(unchecked(label, expected, f"--pictures FOLDER with {golden.file} in it, under that name"))
            continue
        found = _golden_values(opened, image, golden)
        right = bool(np.allclose(found, values, rtol=0, atol=2e-3 if golden.probabilities else 0.05))
        advice = "this is not OpenAI's CLIP as published, or QuickGELU or the resizing is wrong"
        rows.append(judged(label, expected, ", ".join(f"{value:.4f}" for value in found), right, advice))
    return rows


def _golden_values(opened: Opened, image: Image.Image, golden: Golden) -> Floats:
    clip = OpenClip(opened)
    ours_D = opened.vision.encode(pictures.fit(image, opened.vision.image_size)[None])[0]
    logits_K: Floats = clip.scale * (clip.texts(golden.texts) @ ours_D)
    if golden.logits:
        return logits_K
    odds_K = np.exp(logits_K - logits_K.max())
    probabilities: Floats = odds_K / odds_K.sum()
    return probabilities


def _loss(opened: Opened, clip: OpenClip) -> float:
    """Mean negative log probability of each picture's own kind."""
    items = opened.material.pictures
    texts = {item.kind: item.texts for item in items}
    kinds = sorted(texts)
    classes_KD = np.stack([clip.texts(texts[kind]).mean(axis=0) for kind in kinds])
    classes_KD /= np.linalg.norm(classes_KD, axis=1, keepdims=True)
    logits_NK = torch.from_numpy(clip.scale * clip.images([item.image for item in items]) @ classes_KD.T)
    wanted_N = torch.tensor([kinds.index(item.kind) for item in items])
    return float(torch.nn.functional.cross_entropy(logits_NK, wanted_N))


def _resized(size: int, *, antialias: bool) -> Floats:
    """The drawn picture by torchvision's own bicubic (of PIL), or by torch's without antialias; centre square."""
    prepare_torchvision()
    from torchvision.transforms import functional

    image = drawn_picture()
    if antialias:
        resized: Any = functional.resize(image, size, functional.InterpolationMode.BICUBIC)
        return np.asarray(functional.center_crop(resized, [size, size]), np.float32)
    pixels_1CHW = torch.from_numpy(np.asarray(image, np.float32)).permute(2, 0, 1)[None]
    shape = (size, size * image.width // image.height)
    small = torch.nn.functional.interpolate(pixels_1CHW, shape, mode="bicubic", antialias=False).clamp(0, 255)
    left = round((shape[1] - size) / 2)
    found: Floats = small[0, :, :, left : left + size].permute(1, 2, 0).numpy()
    return found
