"""Which class a picture or a sound is, by the nearest of the classes' texts.

Shapes: N pictures or sounds, K kinds, D numbers of an embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from v2a_core.compute.torchvision_import import prepare_torchvision
from v2a_core.encoders.clip import ClipSettings
from v2a_core.miniature.world import KINDS, class_prompts
from v2a_core.models import LocalBundle, ModelError
from v2a_core.models.checkpoints import load_exactly, load_tensors

Floats = npt.NDArray[np.float32]
EmbedText = Callable[[Sequence[str]], Floats]

_COMPUTED = ("attn_mask", "position_ids")


def class_embeddings(embed_text: EmbedText) -> Floats:
    """The mean of the embeddings of a kind's prompts, L2-normalised (K, D)."""
    means = np.stack([embed_text(class_prompts(kind)).mean(axis=0) for kind in KINDS])
    unit: Floats = means / np.linalg.norm(means, axis=1, keepdims=True)
    return unit


def nearest(embeddings_ND: Floats, classes_KD: Floats) -> npt.NDArray[np.int64]:
    """Index of the nearest class, (N,)."""
    found: npt.NDArray[np.int64] = (embeddings_ND @ classes_KD.T).argmax(axis=1)
    return found


def clip_text(local: LocalBundle) -> EmbedText:
    """CLIP's text tower: which no job needs, so no encoder loads it."""
    prepare_torchvision()
    import open_clip

    part = local.vision
    if not isinstance(part.settings, ClipSettings):
        raise ModelError(f"the bundle {local.name} sees with {part.settings.encoder}: only CLIP is scored by texts")
    config = part.settings.architecture(part.found)
    parts = {name: config[name] for name in ("embed_dim", "vision_cfg", "text_cfg", "quick_gelu") if name in config}
    model = open_clip.CLIP(**parts).eval()
    load_exactly(model, load_tensors(part.path), part.path, may_lack=_COMPUTED)
    tokenize = clip_tokenizer(part.path.parent, int(config["text_cfg"].get("context_length", 77)))

    @torch.inference_mode()
    def embed(texts: Sequence[str]) -> Floats:
        embedding: torch.Tensor = model.encode_text(tokenize(list(texts)), normalize=True)
        return embedding.float().numpy()

    return embed


def clip_tokenizer(folder: Path, length: int) -> Callable[[list[str]], torch.Tensor]:
    """The tokenizer beside the weights, or CLIP's own."""
    if (folder / "tokenizer_config.json").is_file():
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder)
        return lambda texts: (
            tokenizer(texts, max_length=length, padding="max_length", truncation=True, return_tensors="pt").input_ids
        )
    import open_clip

    simple = open_clip.SimpleTokenizer(context_length=length)
    return lambda texts: simple(texts)
