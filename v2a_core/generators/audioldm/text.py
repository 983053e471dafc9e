"""Text to conditions: CLAP's text branch, which every AudioLDM checkpoint brings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from v2a_core.generators.audioldm.components import load_text_side
from v2a_core.generators.audioldm.layout import AudioLdmSource

Floats = npt.NDArray[np.float32]

TEXTS_PER_BATCH = 32


class TextEmbedder:
    """AudioLDM's CLAP text branch with its tokenizer, float32; the UNet and the rest are not loaded.

    Args:
        source: AudioLDM's parts, or their folder.
        device: `cpu`, `cuda`, ...

    Raises:
        ModelError: When they are missing.
    """

    def __init__(self, source: Path | AudioLdmSource, device: str) -> None:
        self._device = device
        self._encoder, self._tokenizer = load_text_side(source, device)
        config = self._encoder.config
        # A tokenizer saved without its limit claims 1e30; RoBERTa counts positions from the padding id + 1.
        positions = config.max_position_embeddings - (config.pad_token_id or 0) - 1
        self._max_tokens = min(self._tokenizer.model_max_length, positions)

    @torch.inference_mode()
    def embed_text(self, texts: Sequence[str]) -> Floats:
        """L2-normalised float32 (B, D). Longer texts are cut at the encoder's limit."""
        embeddings = [np.empty((0, self._encoder.config.projection_dim), np.float32)]
        for start in range(0, len(texts), TEXTS_PER_BATCH):
            tokens = self._tokenizer(
                list(texts[start : start + TEXTS_PER_BATCH]),
                padding=True,
                truncation=True,
                max_length=self._max_tokens,
                return_tensors="pt",
            ).to(self._device)
            embedding_BD = self._encoder(tokens.input_ids, attention_mask=tokens.attention_mask).text_embeds
            embeddings.append(torch.nn.functional.normalize(embedding_BD, dim=-1).cpu().numpy())
        return np.concatenate(embeddings)
