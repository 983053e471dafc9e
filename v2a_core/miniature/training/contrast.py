"""What CLIP and CLAP share in training: captions, the contrastive loss, and heads that keep attributes in embeddings.

Shapes: B examples of a batch, N of a set, D numbers of an embedding, K kinds, P prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from v2a_core.miniature.training.data import HEARD, attributes
from v2a_core.miniature.world import KINDS, Happening, caption, class_prompts
from v2a_core.tables.schema import EMBEDDING_DIM

PROMPT_SHARE = 0.15  # captions that name the kind only
MAX_SCALE = 50.0
# Half of the batches hold few kinds: among all kinds, the kind alone nearly tells a caption from the others, and pitch,
# tempo and intensity would hardly move an embedding.
FEW_SHARE, FEW_KINDS = 0.5, 3


@dataclass(frozen=True)
class Described:
    """A batch of happenings with a caption for each.

    Attributes:
        texts: B captions.
        matches_BB: Whether caption j is true of happening i: float32, 0 or 1.
        kinds_B: Index in `HEARD`, int64.
        attributes_B3: Pitch, tempo, intensity, float32.
    """

    texts: list[str]
    matches_BB: torch.Tensor
    kinds_B: torch.Tensor
    attributes_B3: torch.Tensor


def choose_rows(kinds_N: npt.NDArray[np.int64], count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Distinct rows of a batch, int64 (count,), ascending: of all kinds (N,), or of a few."""
    rows = np.arange(len(kinds_N))
    if rng.random() < FEW_SHARE:
        few = rng.choice(np.unique(kinds_N), FEW_KINDS, replace=False)
        rows = np.flatnonzero(np.isin(kinds_N, few))
    return np.sort(rng.choice(rows, count, replace=False))


def describe(happenings: Sequence[Happening], rng: np.random.Generator) -> Described:
    """Draw captions."""
    short_B = rng.random(len(happenings)) < PROMPT_SHARE
    texts = [draw_caption(*pair, rng) for pair in zip(happenings, short_B, strict=True)]
    kinds_B = np.array([HEARD.index(happening.kind) for happening in happenings])
    attributes_B3 = np.stack([attributes(happening) for happening in happenings])
    # Captions know three steps of each attribute (captions.py).
    steps_B3 = np.minimum((attributes_B3 * 3).astype(int), 2)
    same_kind_BB = kinds_B[:, None] == kinds_B[None]
    same_steps_BB = (steps_B3[:, None] == steps_B3[None]).all(axis=-1)
    matches_BB = same_kind_BB & (same_steps_BB | short_B[None])
    return Described(
        texts,
        torch.from_numpy(matches_BB.astype(np.float32)),
        torch.from_numpy(kinds_B),
        torch.from_numpy(attributes_B3),
    )


def draw_caption(happening: Happening, short: bool, rng: np.random.Generator) -> str:
    """A caption with all attributes, or one that names the kind only."""
    return str(rng.choice(class_prompts(happening.kind))) if short else caption(happening, rng)


class Contrast(nn.Module):
    """Contrastive loss with a learnt scale, and linear heads that are thrown away after training."""

    def __init__(self, scale: float = 14.0) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(float(np.log(scale))))
        self.heads = nn.Linear(EMBEDDING_DIM, len(HEARD) + 3)

    def forward(self, signal_BD: torch.Tensor, text_BD: torch.Tensor, described: Described) -> dict[str, torch.Tensor]:
        """Scalar losses of L2-normalised embeddings (B, D) of signals and of their captions, by name."""
        scale = self.log_scale.exp().clamp(max=MAX_SCALE)
        logits_BB = scale * signal_BD @ text_BD.T
        matches_BB = described.matches_BB
        # A unit vector's entries are about 1/sqrt(D): the heads see them at unit size.
        read_BX = self.heads(signal_BD * EMBEDDING_DIM**0.5)
        said_BX = self.heads(text_BD * EMBEDDING_DIM**0.5)
        kinds_B, classes = described.kinds_B, len(HEARD)
        return {
            "contrast": 0.5 * (_cross_entropy(logits_BB, matches_BB) + _cross_entropy(logits_BB.T, matches_BB.T)),
            "kind": 0.2
            * (
                functional.cross_entropy(read_BX[:, :classes], kinds_B)
                + functional.cross_entropy(said_BX[:, :classes], kinds_B)
            ),
            "attributes": 12 * functional.mse_loss(read_BX[:, classes:], described.attributes_B3),
        }


def _cross_entropy(logits_BB: torch.Tensor, matches_BB: torch.Tensor) -> torch.Tensor:
    """Against all true captions alike: two quiet low bells are not each other's negatives."""
    target_BB = matches_BB / matches_BB.sum(dim=1, keepdim=True).clamp(min=1)
    return -(target_BB * logits_BB.log_softmax(dim=1)).sum(dim=1).mean()


def zero_shot(signals_ND: torch.Tensor, prompts_KD: torch.Tensor, kinds_N: npt.NDArray[np.int64]) -> float:
    """Share of signals (N, D) whose nearest class prompt (K, D) is of their kind (N,); both L2-normalised."""
    return float(((signals_ND @ prompts_KD.T).argmax(dim=1).numpy() == kinds_N).mean())


def prompts() -> list[str]:
    """Class prompts of all kinds, as many of each, in the order of `KINDS`."""
    return [prompt for kind in KINDS for prompt in class_prompts(kind)]


def average_prompts(embeddings_PD: torch.Tensor) -> torch.Tensor:
    """One L2-normalised embedding a kind, (K, D), from those of `prompts()`, (P, D)."""
    return functional.normalize(embeddings_PD.unflatten(0, (len(KINDS), -1)).mean(dim=1), dim=-1)


def linear_fit(
    signals_ND: torch.Tensor, attributes_N3: npt.NDArray[np.float32], kinds_N: npt.NDArray[np.int64]
) -> float:
    """What embeddings carry: mean correlation of attributes with their best linear reading, within kinds, 5-fold.

    Args:
        signals_ND: Embeddings, float32 (N, D).
        attributes_N3: Pitch, tempo and intensity, 0..1, (N, 3).
        kinds_N: Index of each one's kind, (N,).
    """
    features = torch.cat([signals_ND, functional.one_hot(torch.from_numpy(kinds_N)).float()], dim=1).double()
    truth = torch.from_numpy(attributes_N3).double()
    read = torch.zeros_like(truth)
    for fold in range(5):
        held = torch.arange(len(truth)) % 5 == fold
        x, y = features[~held], truth[~held]
        weights = torch.linalg.solve(x.T @ x + 0.05 * torch.eye(x.shape[1], dtype=x.dtype), x.T @ y)
        read[held] = features[held] @ weights
    pairs = [np.corrcoef(read[:, i].numpy(), truth[:, i].numpy())[0, 1] for i in range(truth.shape[1])]
    return float(np.mean(pairs))
