"""What the UNet is conditioned on in training: embeddings of sounds and captions, and stand-ins for mapped pictures.

Shapes: N scenes, V views, D numbers of an embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from v2a_core import storage
from v2a_core.miniature.training.clap import CLIP_SAMPLES, Towers
from v2a_core.miniature.training.contrast import PROMPT_SHARE, draw_caption
from v2a_core.miniature.training.data import Sounds
from v2a_core.tables.schema import EMBEDDING_DIM

Floats = npt.NDArray[np.float32]

CAPTIONS = 4
# Attributes within about this distance count as alike where a mapper cannot tell them apart.
BLUR = 0.1
NULL_SHARE, TEXT_SHARE, BLURRED_SHARE = 0.1, 0.2, 0.3
# Length of the noise that is added, up to: no mapper lands exactly on the embedding of a sound.
MAX_NOISE = 0.35


@dataclass(frozen=True)
class Conditions:
    """Embeddings of the training set, float32, L2-normalised.

    Attributes:
        sounds_ND: Of the first five seconds, as those of a video of the world are embedded.
        texts_NVD: Of several captions each.
        blurred_ND: Means over sounds of one kind with like attributes: what a regression from pictures would give.
        null_D: Of the empty text.
        mapped_NVD: What several mappers make of the pictures; None while there are none.
        mapped_share: Of the conditions that are mapped, in place of the blurred ones.
    """

    sounds_ND: torch.Tensor
    texts_NVD: torch.Tensor
    blurred_ND: torch.Tensor
    null_D: torch.Tensor
    mapped_NVD: torch.Tensor | None = None
    mapped_share: float = 0.0

    def draw(self, rows: npt.NDArray[np.int64], rng: np.random.Generator) -> torch.Tensor:
        """A condition for each of the rows (B,), float32 (B, D), L2-normalised; some are null."""
        index_B, count = torch.from_numpy(rows), len(rows)
        views_B = torch.from_numpy(rng.integers(self.texts_NVD.shape[1], size=count))
        choice_B = rng.random(count)
        condition_BD = self.sounds_ND[index_B].clone()
        blurred_B = torch.from_numpy(choice_B < NULL_SHARE + TEXT_SHARE + BLURRED_SHARE)
        condition_BD[blurred_B] = self.blurred_ND[index_B[blurred_B]]
        if self.mapped_NVD is not None:
            mapped_B = torch.from_numpy(choice_B < NULL_SHARE + TEXT_SHARE + self.mapped_share)
            views = self.mapped_NVD.shape[1]
            condition_BD[mapped_B] = self.mapped_NVD[index_B[mapped_B], views_B[mapped_B] % views]
        text_B = torch.from_numpy(choice_B < NULL_SHARE + TEXT_SHARE)
        condition_BD[text_B] = self.texts_NVD[index_B[text_B], views_B[text_B]]
        condition_BD = with_noise(condition_BD, rng)
        condition_BD[torch.from_numpy(choice_B < NULL_SHARE)] = self.null_D
        return condition_BD


def with_noise(condition_BD: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Embeddings (B, D) beside which a mapper might land, L2-normalised."""
    count = len(condition_BD)
    length_B1 = torch.from_numpy(rng.uniform(0, MAX_NOISE, (count, 1)).astype(np.float32))
    noise_BD = torch.randn(count, EMBEDDING_DIM) * EMBEDDING_DIM**-0.5
    return functional.normalize(condition_BD + length_B1 * noise_BD, dim=-1)


def prepare_conditions(sounds: Sounds, towers: Towers, cache: Path) -> Conditions:
    """Embed the training set, once."""
    if not cache.is_file():
        sounds_ND = torch.cat(
            [towers.embed_waveforms(sounds.waveforms(rows)[:, :CLIP_SAMPLES]) for rows in sounds.pieces()]
        )
        with storage.writing(str(cache)) as path:
            np.savez(path, sounds=sounds_ND.numpy(), texts=_embed_captions(sounds, towers).numpy())
    with np.load(cache) as arrays:
        sounds_ND, texts_NVD = torch.from_numpy(arrays["sounds"]), torch.from_numpy(arrays["texts"])
    with torch.no_grad():
        null_D = towers.embed_text([""])[0]
    return Conditions(sounds_ND, texts_NVD, blur(sounds_ND, sounds.kinds_N, sounds.attributes_N3), null_D)


def blur(sounds_ND: torch.Tensor, kinds_N: npt.NDArray[np.int64], attributes_N3: Floats) -> torch.Tensor:
    """Kernel regression of embeddings on attributes, within kinds.

    Args:
        sounds_ND: Embeddings, float32 (N, D), L2-normalised.
        kinds_N: Index of each one's kind, (N,).
        attributes_N3: Pitch, tempo and intensity, 0..1, (N, 3).

    Returns:
        Float32 (N, D), L2-normalised.
    """
    blurred_ND = torch.empty_like(sounds_ND)
    for kind in np.unique(kinds_N):
        rows = torch.from_numpy(np.flatnonzero(kinds_N == kind))
        points = torch.from_numpy(attributes_N3)[rows]
        weights = (-0.5 * (torch.cdist(points, points) / BLUR).square()).exp()
        blurred_ND[rows] = functional.normalize(weights @ sounds_ND[rows], dim=-1)
    return blurred_ND


@torch.no_grad()
def _embed_captions(sounds: Sounds, towers: Towers) -> torch.Tensor:
    rng = np.random.default_rng(0)
    views = []
    for _ in range(CAPTIONS):
        texts = [draw_caption(scene.heard, bool(rng.random() < PROMPT_SHARE), rng) for scene in sounds.scenes]
        views.append(torch.cat([towers.embed_text(texts[start : start + 64]) for start in range(0, len(texts), 64)]))
    return torch.stack(views, dim=1)
